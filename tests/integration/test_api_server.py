"""The API as a server on this machine: real HTTP, many requests at a time, streams longer than memory likes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import psycopg
import pytest
import uvicorn

from cloud_functions.api.composition import ApiSettings
from cloud_functions.api.server import server_app
from cloud_functions.settings import DatabaseSettings
from tests.api_calls import NOON, store, stored_event


@pytest.fixture
def server(database_url: str) -> Iterator[str]:
    """The address of a uvicorn that serves the API with four worker threads."""
    settings = ApiSettings(database=DatabaseSettings(url=database_url), bucket="pictures")
    config = uvicorn.Config(server_app(settings, threads=4), log_level="warning", lifespan="on", ws="none")
    instance = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=instance.run, kwargs={"sockets": [listener]})
    thread.start()
    while not instance.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    instance.should_exit = True
    thread.join(timeout=20)
    listener.close()
    assert not thread.is_alive()


def test_many_requests_at_a_time(server: str, database_url: str) -> None:
    """Forty clients at once over four connections, all answered rightly; then the server lets the connections go."""
    numbers = store(database_url, [stored_event(timestamp=NOON + timedelta(seconds=n)) for n in range(40)])
    with httpx.Client(base_url=server) as client, ThreadPoolExecutor(40) as pool:
        found = list(pool.map(lambda number: client.get(f"/api/events/{number}").json()["id"], numbers))
    assert found == numbers
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'vedette'"
        ).fetchone()
    assert row is not None
    assert 1 <= row[0] <= 4


def test_a_slow_query_does_not_hold_up_the_others(server: str, database_url: str) -> None:
    """While one request waits for a locked table, the description is served."""
    with psycopg.connect(database_url) as blocker, ThreadPoolExecutor(1) as pool:
        blocker.execute("LOCK TABLE event_counts_monthly IN ACCESS EXCLUSIVE MODE")
        waiting = pool.submit(httpx.get, f"{server}/api/events", timeout=30)
        assert httpx.get(f"{server}/openapi.json").status_code == 200
        assert httpx.get(f"{server}/api/events/recent").json() == {"events": [], "count": 0}
        assert not waiting.done()
        blocker.rollback()
        assert waiting.result().json()["total"] == 0


@pytest.mark.parametrize(("form", "lines"), [("ndjson", 2500), ("csv", 2501)])
def test_an_export_is_streamed_to_the_end(server: str, database_url: str, form: str, lines: int) -> None:
    """More than is read at once arrives in several parts, whole, and without a cursor to go on from."""
    store(database_url, [stored_event(timestamp=NOON + timedelta(seconds=n)) for n in range(2500)])
    parts: list[bytes] = []
    with httpx.stream("GET", f"{server}/api/events/export", params={"format": form}) as answer:
        assert "content-length" not in answer.headers
        assert "x-next-cursor" not in answer.headers
        parts += answer.iter_raw()
    assert len(parts) > 1
    assert b"".join(parts).count(b"\n") == lines


def test_settings_come_from_the_environment(database_url: str) -> None:
    """What is missing is named; what is given is taken."""
    from shared.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="SNAPSHOT_BUCKET is not set"):
        ApiSettings.from_environment({"DATABASE_URL": database_url})
    settings = ApiSettings.from_environment(
        {"DATABASE_URL": database_url, "SNAPSHOT_BUCKET": "b", "EVENTS_TOPIC_ARN": "arn", "API_ROOT_PATH": "/prod"}
    )
    assert (settings.bucket, settings.topic_arn, settings.root_path) == ("b", "arn", "/prod")


def test_cloud_b4_other_sites_are_refused(server: str) -> None:
    """DNS rebinding and cross-site requests get a problem document, whatever they ask for; this machine is served."""
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        for method, path in (("GET", "/api/events"), ("DELETE", "/api/events/1"), ("GET", "/health"), ("GET", "/docs")):
            refused = httpx.request(method, f"{server}{path}", headers=headers)
            assert refused.status_code == 403, (headers, path)
            assert refused.headers["content-type"] == "application/problem+json"
            assert "ALLOWED_HOSTS" in refused.json()["detail"]
    assert httpx.get(f"{server}/openapi.json", headers={"Host": "localhost:1"}).status_code == 200
    assert httpx.get(f"{server}/openapi.json", headers={"Origin": server}).status_code == 200


def test_cloud_b4_names_of_ones_own_are_settings(database_url: str) -> None:
    """ALLOWED_HOSTS takes a list, by comma or blank."""
    variables = {"DATABASE_URL": database_url, "SNAPSHOT_BUCKET": "b", "ALLOWED_HOSTS": "a.example, b.example"}
    assert ApiSettings.from_environment(variables).allowed_hosts == ("a.example", "b.example")
