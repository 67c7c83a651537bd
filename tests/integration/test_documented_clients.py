"""The clients in ``docs/examples`` with a real API and a real Redis."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import HTTPError
from uuid import uuid4

import pytest
import redis

from cloud_functions.api.settings import ApiSettings, Authentication
from cloud_functions.api.wiring import server_app
from cloud_functions.fanout.handler import build_fanout
from cloud_functions.settings import DatabaseSettings
from tests.integration.test_fanout_redis import records
from tests.support.api_calls import events_each_minute, store, stored_event
from tests.support.served_app import served_app
from tests.support.users import PASSWORD, add_user
from tests.support.waiting import eventually

NODE_PACKAGE = "redis@5"
EXAMPLES = Path(__file__).resolve().parents[2] / "docs/examples"


def load(name: str) -> ModuleType:
    """Import an example."""
    spec = importlib.util.spec_from_file_location(f"example_{name.removesuffix('.py')}", EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server(database_url: str) -> Iterator[str]:
    """The address of a server of the API, whose bucket is not reachable."""
    with running_server(database_url) as address:
        yield address


@contextmanager
def running_server(database_url: str, *, authentication: Authentication = "gateway") -> Generator[str]:
    """Yield the address of a server of the API, whose bucket is not reachable."""
    database = DatabaseSettings(url=database_url)
    settings = ApiSettings(database=database, bucket="pictures", authentication=authentication)
    with served_app(server_app(settings, threads=2)) as address:
        yield address


@pytest.fixture
def admin(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def receive(publish: Callable[[], object], received: Sequence[object]) -> None:
    """Publish until something has been received, because Redis does not repeat what it sent while nobody listened."""

    def attempt() -> bool:
        publish()
        deadline_s = time.monotonic() + 0.5
        while not received and time.monotonic() < deadline_s:
            time.sleep(0.005)
        return len(received) > 0

    eventually(attempt, what="the consumer has received an event")


def end_subscriptions(admin: redis.Redis, *, others: set[str]) -> None:
    """Close the subscribed connections that are not among ``others``."""
    subscribers = {client["id"] for client in admin.client_list(_type="pubsub")} - others
    assert subscribers
    for subscriber in subscribers:
        admin.client_kill_filter(_id=subscriber)


def test_the_analytics_client_reads_events(server: str, database_url: str) -> None:
    """Lists with conditions, statistics with the documented keys, and an error for a missing snapshot."""
    store(database_url, events_each_minute(3) + events_each_minute(2, event_type="anpr", camera_id="camera-2"))
    client = load("analytics_client.py").AnalyticsClient(server)
    assert client.get_events()["total"] == 5
    page = client.get_events(camera_id="camera-2", event_type="anpr", page=1, page_size=1)
    assert (len(page["events"]), page["total"], page["has_more"]) == (1, 2, True)
    statistics = client.get_stats("camera-2")
    assert statistics["events_by_type"]["anpr"] == 2
    assert set(statistics["date_range"]) == {"first_event", "last_event"}
    [number] = store(database_url, [stored_event(snapshot_path=None)])
    with pytest.raises(HTTPError) as raised:
        client.get_snapshot(number)
    assert raised.value.code == 404
    raised.value.close()


def test_the_documented_requests_are_answered(server: str, database_url: str) -> None:
    """Every request of the shell script succeeds and returns JSON."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    store(database_url, [*events_each_minute(3), stored_event("anpr")])
    script = (EXAMPLES / "requests.sh").read_text(encoding="utf-8")
    # The health check would wait for the bucket.
    script = script.replace('get "/health"\n', "")
    command = ["/bin/sh", "-s", server]
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == script.count('get "')
    assert answers[0]["service"] == "vedette"
    assert answers[1]["total"] == 3
    assert answers[2]["events"] == []
    assert answers[3]["total_events"] == 4
    assert len(answers[5]) == 1


def test_the_documented_requests_for_cameras_are_answered(database_url: str) -> None:
    """A log-in, then the life of a camera. The test of its connection says that no device has it."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    add_user(database_url, "admin", role="admin")
    command = ["/bin/sh", str(EXAMPLES / "cameras.sh")]
    with running_server(database_url, authentication="users") as server:
        environment = {**os.environ, "VEDETTE_PASSWORD": PASSWORD}
        done = subprocess.run(
            [*command, server], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    created, listed, found, tested, heading, row, summary, deleted = done.stdout.splitlines()
    camera = json.loads(created)["data"]
    assert (camera["name"], camera["detection_sensitivity"]) == ("Front Door", 0.7)
    assert json.loads(listed)["meta"] == {"page": 1, "pageSize": 20, "total": 1, "totalPages": 1}
    assert json.loads(found)["data"]["id"] == camera["id"]
    assert json.loads(tested)["error"]["code"] == "camera-without-device"
    assert "rtsp://192.168.1.100:8554/stream" in dict(zip(heading.split(","), row.split(","), strict=True)).values()
    assert json.loads(summary)["data"]["total"] == 1
    assert json.loads(deleted)["success"] is True


def test_the_python_consumer_reconnects(redis_url: str, admin: redis.Redis) -> None:
    """Events that fan-out publishes arrive, also after the server has ended the connection."""
    channel = f"clients-{uuid4().hex}"
    fanout = build_fanout({"REDIS_URL": redis_url, "REDIS_CHANNEL_NAME": channel})
    others = {client["id"] for client in admin.client_list()}
    received: list[int] = []
    stopped = threading.Event()
    thread = threading.Thread(
        target=load("redis_consumer.py").consume,
        args=(redis_url, lambda event: received.append(event["id"])),
        kwargs={"channel": channel, "stopped": stopped.is_set},
    )
    thread.start()
    try:
        for _ in range(2):
            receive(lambda: fanout.handle(records(1, camera="clients")), received)
            received.clear()
            assert fanout.handle(records(2, camera="clients")) == {"batchItemFailures": []}
            eventually(lambda: received[-2:] == [0, 1], what="both events have arrived")
            end_subscriptions(admin, others=others)
            received.clear()
    finally:
        stopped.set()
        thread.join(timeout=20)
    assert not thread.is_alive()


def test_the_python_consumer_is_a_program(redis_url: str, admin: redis.Redis) -> None:
    """It takes the address and the channel, and prints a line for each event."""
    channel = f"clients-{uuid4().hex}"
    command = [sys.executable, str(EXAMPLES / "redis_consumer.py"), redis_url, channel]
    _check_program(command, redis_url, admin, channel)


def test_the_node_consumer_receives_events(redis_url: str, admin: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints a line for each event, also after the server has ended the connection."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None:
        pytest.skip("needs node")
    folder = Path(sys.prefix) / "node"
    monkeypatch.setenv(
        "NODE_PATH", os.pathsep.join(filter(None, (os.environ.get("NODE_PATH"), f"{folder}/node_modules")))
    )
    has_package = [node, "-e", "require('redis')"]
    if subprocess.run(has_package, capture_output=True, check=False).returncode and npm is not None:
        options = ["--no-audit", "--no-fund", "--silent", "--prefix", str(folder)]
        subprocess.run([npm, "install", *options, NODE_PACKAGE], capture_output=True, check=False, timeout=120)
    if subprocess.run(has_package, capture_output=True, check=False).returncode:
        pytest.skip(f"needs {NODE_PACKAGE}, which npm could not install (no npm, or no package index)")
    channel = f"clients-{uuid4().hex}"
    _check_program([node, str(EXAMPLES / "redis_consumer.js"), redis_url, channel], redis_url, admin, channel)


def _append_lines(file: Iterable[str], lines: list[str]) -> None:
    for line in file:
        lines.append(line)  # noqa: PERF402  one by one, as they come


def _check_program(command: list[str], redis_url: str, admin: redis.Redis, channel: str) -> None:
    fanout = build_fanout({"REDIS_URL": redis_url, "REDIS_CHANNEL_NAME": channel})
    others = {client["id"] for client in admin.client_list()}
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=_append_lines, args=(process.stdout, lines))
        reader.start()
        try:
            for _ in range(2):
                receive(lambda: fanout.handle(records(1, camera="clients")), lines)
                assert lines[0].split()[1:] == ["tracking", "clients"]
                end_subscriptions(admin, others=others)
                lines.clear()
        finally:
            process.terminate()
            reader.join(timeout=20)


def test_the_documented_redis_commands_work(redis_url: str, admin: redis.Redis) -> None:
    """The commands with which the document looks at channels and at what passes through them."""
    channel = f"clients-{uuid4().hex}"
    assert admin.ping()
    with redis.Redis.from_url(redis_url, decode_responses=True) as client, client.pubsub() as listener:
        listener.psubscribe("*")
        listener.subscribe(channel)
        eventually(lambda: admin.pubsub_numsub(channel)[0][1] == 1, what="the listener has subscribed")
        channels: Any = admin.execute_command("PUBSUB", "CHANNELS")
        assert channel in channels
        assert admin.execute_command("PUBSUB", "NUMSUB", channel) == [channel, 1]
        build_fanout({"REDIS_URL": redis_url, "REDIS_CHANNEL_NAME": channel}).handle(records(1, camera="clients"))
        kinds: set[Any] = set()

        def received() -> bool:
            message = listener.get_message(timeout=1)
            if message is not None and message["channel"] == channel:
                kinds.add(message["type"])
            return {"message", "pmessage"} <= kinds

        eventually(received, what="the event has arrived by channel and by pattern")
