"""Snapshots on demand on the one-machine stack: from the request to the response that the image can be read.

The request passes API, database, broker, a real agent with an open stream, the object store, the IoT rule and ingest.
The baseline, in turn with it, is what no design can avoid: one MQTT round trip through the same broker and one upload
of the same image to the same store.
"""

from __future__ import annotations

import http.client
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from infra.local.aws.resources import BUCKET
from infra.local.demo.device import CAMERA_ID, DEVICE_ID, StackUrls, agent_process
from infra.local.processes.state_folder import StateFolder
from infra.local.servers.aws import REGION
from infra.local.servers.postgres import cluster_url
from tests.benchmarks.figures import Figure
from tests.support.ports import reserve_port

ROUNDS = 100
WARM_UP = 5
TARGET_P50_MS = 250.0
READY_S = 90.0


def run() -> list[Figure]:
    """Measure on a new stack with one agent."""
    with _stack() as (folder, urls):
        device = StackUrls(broker=urls["broker"], aws=urls["aws"])
        agent = agent_process(device, folder=folder, source="synthetic:gate", camera={"mode": "motion"})
        agent.start()
        try:
            _add_camera(_with_password(urls["database"], folder / "state"))
            _wait_for_picture(urls["api"])
            snapshot = _capture(_connect(urls["api"]))
            image = _read(_connect(urls["api"]), snapshot["image_url"])
            return _measure(urls, image)
        finally:
            agent.stop()


def _measure(urls: dict[str, str], image: bytes) -> list[Figure]:
    api = _connect(urls["api"])
    echo = _Echo(urls["broker"])
    store: Any = boto3.client(
        "s3", endpoint_url=urls["aws"], region_name=REGION, aws_access_key_id="b", aws_secret_access_key="b"
    )
    captures: list[float] = []
    bare: list[float] = []
    try:
        for number in range(WARM_UP + ROUNDS):
            took_ms = _timed_ms(lambda: _capture(api))
            bare_ms = _timed_ms(echo.round_trip)
            bare_ms += _timed_ms(lambda: store.put_object(Bucket=BUCKET, Key="bench/image.jpg", Body=image))
            if number >= WARM_UP:
                captures.append(took_ms)
                bare.append(bare_ms)
    finally:
        echo.close()
    marks = statistics.quantiles(captures, n=20)
    return [
        Figure("capture, p50", marks[9], "ms", target=TARGET_P50_MS, note=f"{len(image) // 1000} KB image"),
        Figure("capture, p95", marks[18], "ms"),
        Figure("MQTT round trip + PUT alone, p50", statistics.median(bare), "ms"),
        Figure("capture, of that", marks[9] / statistics.median(bare), "x"),
    ]


class _Echo:
    """Two clients of the broker; the second one answers each message of the first one."""

    def __init__(self, url: str) -> None:
        self._answered = threading.Event()
        self._asking, self._answering = _client(url), _client(url)
        self._answering.on_message = self._answer
        self._asking.on_message = lambda *_: self._answered.set()
        for client, topic in ((self._answering, "bench/ping"), (self._asking, "bench/pong")):
            subscribed = threading.Event()
            client.on_subscribe = lambda *_, done=subscribed: done.set()
            client.subscribe(topic, qos=1)
            subscribed.wait(10)

    def round_trip(self) -> None:
        self._answered.clear()
        self._asking.publish("bench/ping", b"x", qos=1)
        if not self._answered.wait(10):
            raise TimeoutError("the broker did not deliver the answer")

    def _answer(self, client: mqtt.Client, *_: object) -> None:
        client.publish("bench/pong", b"x", qos=1)

    def close(self) -> None:
        for client in (self._asking, self._answering):
            client.disconnect()
            client.loop_stop()


def _client(url: str) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    parts = urlsplit(url)
    client.connect(parts.hostname or "", parts.port or 1883)
    client.loop_start()
    return client


@contextmanager
def _stack() -> Generator[tuple[Path, dict[str, str]]]:
    """Start a stack in a new folder; yield the folder and the addresses."""
    folder = Path(tempfile.mkdtemp(prefix="vedette-bench-"))
    folder.chmod(0o755)
    state = folder / "state"
    try:
        _command("up", "--port", str(reserve_port()), state=state)
        yield folder, StateFolder(state).description()["urls"]
    finally:
        _command("down", state=state)
        shutil.rmtree(folder, ignore_errors=True)


def _command(*arguments: str, state: Path) -> None:
    command = [sys.executable, "-m", "infra.local.cli", *arguments, "--state", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)


def _with_password(url: str, state: Path) -> str:
    """Return the database's address with its password, which the description of the stack leaves out."""
    parts = urlsplit(url)
    return cluster_url(state / "postgres", port=parts.port or 5432, database=parts.path.removeprefix("/"))


def _add_camera(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO cameras (id, slug, name, rtsp_url, device_id) VALUES (%s, %s, 'bench', 'synthetic:gate', %s)"
            " ON CONFLICT DO NOTHING",
            [uuid4(), CAMERA_ID, DEVICE_ID],
        )


def _wait_for_picture(api: str) -> None:
    """Wait until a capture succeeds: the agent is connected and its camera has a picture."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            _capture(_connect(api))
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _connect(api: str) -> http.client.HTTPConnection:
    parts = urlsplit(api)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)


def _capture(api: http.client.HTTPConnection) -> dict[str, Any]:
    api.request("POST", f"/api/snapshots/capture/{CAMERA_ID}")
    answer = api.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {content.decode()}")
    return json.loads(content)


def _read(api: http.client.HTTPConnection, path: str) -> bytes:
    api.request("GET", path, headers={"Accept": "image/*"})
    answer = api.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {content.decode()}")
    return content


def _timed_ms(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000
