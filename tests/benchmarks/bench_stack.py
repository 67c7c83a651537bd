"""The one-machine stack: the time of a start, and the time of an event from MQTT to Redis.

Every event passes broker, IoT rule, the real ingest handler under AWS's runtime client, PostgreSQL, hub, fan-out and
Redis. The baseline of the burst is the broker alone with the same messages, from publisher to subscriber.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import redis
from paho.mqtt.enums import CallbackAPIVersion

from infra.local.processes.state_folder import StateFolder
from shared.clock import SystemClock, format_utc
from shared.ids import Uuid7Generator
from tests.benchmarks.figures import Figure
from tests.support.ports import reserve_port

RATE = 200
STEADY_EVENTS = 2_000
BURST_EVENTS = 10_000
SITE, DEVICE, CAMERA = "bench", "bench-device", "camera-1"
TOPIC = f"vedette/{SITE}/{DEVICE}/events/{CAMERA}/tracking"
IN_FLIGHT = 100  # the limit of AWS IoT Core and of the edge agent


def run() -> list[Figure]:
    """Measure on a new stack."""
    folder = Path(tempfile.mkdtemp(prefix="vedette-bench-"))
    folder.chmod(0o755)
    state = folder / "state"
    port = str(reserve_port())
    try:
        cold_s = _timed(lambda: _command("up", "--port", port, state=state))
        down_s = _timed(lambda: _command("down", state=state))
        warm_s = statistics.median(_warm_start(port, state) for _ in range(3))
        _command("up", "--port", port, state=state)
        urls = StateFolder(state).description()["urls"]
        return [
            Figure("first start", cold_s, "s"),
            Figure("start after that", warm_s, "s", target=2.0, note="median of 3"),
            Figure("stop", down_s, "s"),
            *_flow(urls),
        ]
    finally:
        _command("down", state=state)
        shutil.rmtree(folder, ignore_errors=True)


def _flow(urls: dict[str, str]) -> list[Figure]:
    listener = Listener(urls["redis"])
    publisher = Publisher(urls["broker"])
    try:
        publisher.publish(20, rate=RATE)  # includes the cold starts of the functions
        listener.wait(20)
        latencies_ms = listener.measure(lambda: publisher.publish(STEADY_EVENTS, rate=RATE), STEADY_EVENTS)
        began = time.perf_counter()
        listener.measure(lambda: publisher.publish(BURST_EVENTS, rate=None), BURST_EVENTS)
        burst = BURST_EVENTS / (time.perf_counter() - began)
        alone = _broker_alone(urls["broker"], publisher)
    finally:
        publisher.close()
        listener.close()
    marks = statistics.quantiles(latencies_ms, n=20)
    return [
        Figure(f"MQTT to Redis at {RATE} events/s, p50", marks[9], "ms"),
        Figure(f"MQTT to Redis at {RATE} events/s, p95", marks[18], "ms"),
        Figure(f"burst of {BURST_EVENTS:,}, MQTT to Redis", burst, "events/s", better="higher"),
        Figure("of what the broker alone carries", burst / alone, "x", better="higher", note=f"{alone:,.0f}/s"),
    ]


def _broker_alone(url: str, publisher: Publisher) -> float:
    arrived, seen = threading.Event(), 0

    def on_message(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == BURST_EVENTS:
            arrived.set()

    subscriber, subscribed = _client(url), threading.Event()
    subscriber.on_message = on_message
    subscriber.on_subscribe = lambda *_: subscribed.set()
    subscriber.subscribe("bench/alone", qos=1)
    subscribed.wait(10)
    began = time.perf_counter()
    publisher.publish(BURST_EVENTS, rate=None, topic="bench/alone")
    if not arrived.wait(120):
        raise TimeoutError(f"the broker delivered {seen} of {BURST_EVENTS}")
    rate = BURST_EVENTS / (time.perf_counter() - began)
    subscriber.disconnect()
    subscriber.loop_stop()
    return rate


class Publisher:
    """Publishes valid tracking events that contain their time of sending."""

    def __init__(self, url: str) -> None:
        self._new_id = Uuid7Generator()
        self._window = threading.BoundedSemaphore(IN_FLIGHT)
        self._client = _client(url)
        self._client.on_publish = lambda *_: self._window.release()

    def publish(self, count: int, *, rate: float | None, topic: str = TOPIC) -> None:
        began = time.perf_counter()
        for number in range(count):
            if rate is not None:
                time.sleep(max(began + number / rate - time.perf_counter(), 0))
            self._window.acquire()
            self._client.publish(topic, self._event(number), qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _event(self, number: int) -> str:
        return json.dumps(
            {
                "schema_version": 1,
                "event_id": str(self._new_id()),
                "event_type": "tracking",
                "site_id": SITE,
                "device_id": DEVICE,
                "camera_id": CAMERA,
                "timestamp": format_utc(SystemClock().now()),
                "frame_number": number,
                "event_data": {
                    "track_id": number,
                    "track_uid": f"bench-{number}",
                    "tracking_action": "entered",
                    "class_name": "car",
                    "confidence": 0.9,
                    "bounding_box": {"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2},
                    "model_info": {"model_type": "bench", "version": "1"},
                    "sent_at": time.time(),
                },
            }
        )


class Listener:
    """Receives events from Redis and records the latency of each once."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=None)
        self._channel = self._redis.pubsub(ignore_subscribe_messages=True)
        self._channel.subscribe("events")
        self._seen: set[str] = set()
        self._latencies_ms: list[float] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def measure(self, publish: Callable[[], None], count: int) -> list[float]:
        """Return the latencies of the ``count`` events that ``publish`` sends."""
        before = len(self._latencies_ms)
        publish()
        self.wait(before + count)
        return self._latencies_ms[before : before + count]

    def wait(self, count: int) -> None:
        deadline = time.monotonic() + 180
        while len(self._latencies_ms) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self._latencies_ms)} of {count} events reached Redis")
            time.sleep(0.002)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._channel.close()
        self._redis.close()

    def _listen(self) -> None:
        while not self._closing.is_set():
            message: Any = self._channel.get_message(timeout=0.2)
            if message is None:
                continue
            event = json.loads(message["data"])
            if event["device_id"] == DEVICE and event["event_id"] not in self._seen:
                self._seen.add(event["event_id"])
                self._latencies_ms.append((time.time() - event["event_data"]["sent_at"]) * 1000)


def _client(url: str) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(IN_FLIGHT)
    parts = urlsplit(url)
    client.connect(parts.hostname or "", parts.port or 1883)
    client.loop_start()
    return client


def _warm_start(port: str, state: Path) -> float:
    seconds = _timed(lambda: _command("up", "--port", port, state=state))
    _command("down", state=state)
    return seconds


def _timed(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _command(*arguments: str, state: Path) -> None:
    command = [sys.executable, "-m", "infra.local.cli", *arguments, "--state", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
