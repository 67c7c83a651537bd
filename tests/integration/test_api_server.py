"""The API under uvicorn: concurrent HTTP requests, streaming, cancelled requests, origin checks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from cloud_functions.api.settings import ApiSettings
from cloud_functions.api.wiring import server_app
from cloud_functions.settings import DatabaseSettings
from tests.support.api_calls import NOON, store, stored_event
from tests.support.served_app import served_app
from tests.support.waiting import eventually


@pytest.fixture
def server(database_url: str) -> Iterator[str]:
    """The address of a uvicorn server of the API with four threads."""
    settings = ApiSettings(database=DatabaseSettings(url=database_url), bucket="pictures")
    with served_app(server_app(settings, threads=4)) as address:
        yield address


def test_many_concurrent_requests(server: str, database_url: str) -> None:
    """Forty clients over four connections get correct responses. The server closes its connections at shutdown."""
    numbers = store(database_url, [stored_event(timestamp=NOON + timedelta(seconds=n)) for n in range(40)])
    with httpx.Client(base_url=server) as client, ThreadPoolExecutor(40) as pool:
        returned = list(pool.map(lambda number: client.get(f"/api/events/{number}").json()["id"], numbers))
    assert returned == numbers
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'vedette'"
        ).fetchone()
    assert row is not None
    assert 1 <= row[0] <= 4


def test_a_slow_query_does_not_delay_other_requests(server: str, database_url: str) -> None:
    """While one request waits for a locked table, the OpenAPI document is served."""
    with psycopg.connect(database_url) as blocker, ThreadPoolExecutor(1) as pool:
        blocker.execute("LOCK TABLE event_counts_monthly IN ACCESS EXCLUSIVE MODE")
        waiting = pool.submit(httpx.get, f"{server}/api/events", timeout=30)
        assert httpx.get(f"{server}/openapi.json").status_code == 200
        assert httpx.get(f"{server}/api/events/recent").json() == {"events": [], "count": 0}
        assert not waiting.done()
        blocker.rollback()
        assert waiting.result().json()["total"] == 0


@pytest.mark.parametrize(("form", "lines"), [("ndjson", 2500), ("csv", 2501)])
def test_an_export_is_streamed_completely(server: str, database_url: str, form: str, lines: int) -> None:
    """More events than one batch arrive in several chunks, without a cursor."""
    store(database_url, [stored_event(timestamp=NOON + timedelta(seconds=n)) for n in range(2500)])
    parts: list[bytes] = []
    with httpx.stream("GET", f"{server}/api/events/export", params={"format": form}) as answer:
        assert "content-length" not in answer.headers
        assert "x-next-cursor" not in answer.headers
        parts += answer.iter_raw()
    assert len(parts) > 1
    assert b"".join(parts).count(b"\n") == lines


def test_settings_come_from_the_environment(database_url: str) -> None:
    """A missing variable is named in the error; a given one is used."""
    from shared.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="SNAPSHOT_BUCKET is not set"):
        ApiSettings.from_environment({"DATABASE_URL": database_url})
    settings = ApiSettings.from_environment(
        {"DATABASE_URL": database_url, "SNAPSHOT_BUCKET": "b", "EVENTS_TOPIC_ARN": "arn", "API_ROOT_PATH": "/prod"}
    )
    assert (settings.bucket, settings.topic_arn, settings.root_path) == ("b", "arn", "/prod")


def test_cloud_b4_other_sites_are_rejected(server: str) -> None:
    """DNS rebinding and cross-site requests get a problem document on every path; this machine is accepted."""
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        for method, path in (("GET", "/api/events"), ("DELETE", "/api/events/1"), ("GET", "/health"), ("GET", "/docs")):
            rejected = httpx.request(method, f"{server}{path}", headers=headers)
            assert rejected.status_code == 403, (headers, path)
            assert rejected.headers["content-type"] == "application/problem+json"
            assert "ALLOWED_HOSTS" in rejected.json()["detail"]
    assert httpx.get(f"{server}/openapi.json", headers={"Host": "localhost:1"}).status_code == 200
    assert httpx.get(f"{server}/openapi.json", headers={"Origin": server}).status_code == 200


def test_cloud_b4_allowed_hosts_come_from_the_settings(database_url: str) -> None:
    """ALLOWED_HOSTS is a list separated by commas or spaces."""
    variables = {"DATABASE_URL": database_url, "SNAPSHOT_BUCKET": "b", "ALLOWED_HOSTS": "a.example, b.example"}
    assert ApiSettings.from_environment(variables).allowed_hosts == ("a.example", "b.example")


def _slow(database_url: str, count: int) -> int:
    """Return the number of queries that wait for the locked table."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    assert row is not None
    return row[0] - count


def test_cloud_c6_health_responds_while_slow_queries_hold_all_threads(server: str, database_url: str) -> None:
    """Health checks have their own thread and connection."""
    with psycopg.connect(database_url) as blocker, ThreadPoolExecutor(8) as pool:
        blocker.execute("LOCK TABLE event_counts_monthly IN ACCESS EXCLUSIVE MODE")
        waiting = [pool.submit(httpx.get, f"{server}/api/events", timeout=60) for _ in range(8)]
        eventually(lambda: _slow(database_url, 4) == 0)
        answer = httpx.get(f"{server}/health", timeout=20)
        assert answer.json()["checks"]["database"]["status"] == "ok"
        assert answer.json()["checks"]["writes"]["status"] == "ok"
        assert not any(one.done() for one in waiting)
        blocker.rollback()
        assert all(one.result().status_code == 200 for one in waiting)


def test_cloud_c6_a_query_is_cancelled_if_its_client_disconnects(server: str, database_url: str) -> None:
    """Its thread and connection are free immediately. A deletion runs to completion."""
    store(database_url, [stored_event()])
    with psycopg.connect(database_url) as blocker:
        blocker.execute("LOCK TABLE event_counts_monthly IN ACCESS EXCLUSIVE MODE")
        for _ in range(6):
            with pytest.raises(httpx.ReadTimeout):
                httpx.get(f"{server}/api/events", timeout=0.3)
        eventually(lambda: _slow(database_url, 0) == 0)
        assert httpx.get(f"{server}/api/events/recent", timeout=20).json()["count"] == 1
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server}/api/events/delete", json={"camera_id": "camera-1"}, timeout=0.5)
        eventually(lambda: _slow(database_url, 1) == 0)
        blocker.rollback()
    eventually(lambda: httpx.get(f"{server}/api/events/recent", timeout=20).json()["count"] == 0)


def test_cloud_c6_health_fails_on_a_read_only_database(server: str, database_url: str) -> None:
    """A read-only server responds to queries, and the check of writes fails."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',"
            " current_database()); END $$"
        )
    answer = httpx.get(f"{server}/health", timeout=20)
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert {name: answer.json()["checks"][name]["status"] for name in ("database", "writes")} == {
        "database": "ok",
        "writes": "failed",
    }


def test_cloud_c6_a_client_with_a_too_large_body_receives_the_413(server: str) -> None:
    """The client reads the 413 instead of a connection reset, with and without an announced length."""
    body = b'{"camera_id": "' + b"a" * 8_000_000 + b'"}'
    with httpx.Client(base_url=server, headers={"content-type": "application/json"}, timeout=60) as client:
        announced = client.post("/api/events/delete", content=body)
        in_chunks = client.post(
            "/api/events/delete", content=(body[at : at + 65_536] for at in range(0, len(body), 65_536))
        )
        assert client.get("/api/events/recent").status_code == 200
    for answer in (announced, in_chunks):
        assert answer.status_code == 413
        assert answer.json()["type"] == "urn:vedette:problem:body-too-large"


def test_cloud_c6_a_huge_body_is_rejected_before_it_is_read(server: str) -> None:
    """A body of 300 MB, announced or not, is a 413, and the server continues to serve requests."""
    address = urlsplit(server)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        head = f"POST /api/events/delete HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 300000000\r\n\r\n".encode() + b"{")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(33):
            connection.sendall(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert httpx.get(f"{server}/api/events/recent", timeout=20).status_code == 200
