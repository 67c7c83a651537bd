"""The outbox against raw SQLite in the same run and folder: durable puts, draining, delivery to a broker, memory.

The baseline of a put is an insert of the same bytes in its own transaction (WAL, ``synchronous=FULL``). The baseline of
draining only selects and deletes the same rows in batches.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.outbox import Outbox, OutboxSettings
from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.sender import Sender
from edge_agent.transport.settings import MqttSettings
from infra.local.servers.mqtt import MqttBroker
from shared.events import ModelInfo, TrackingData, TrackingEvent, dump_event
from shared.geometry import BoundingBox
from shared.ids import Uuid7Generator
from shared.topics import DeviceTopics
from tests.benchmarks.figures import Figure, interleaved_medians
from tests.support.ports import reserve_port

PUTS = 400
IMAGE_BYTES = 80_000
CAMERAS = 8
BATCH = 100
DRAINED = 5_000
_numbers = itertools.count(1)


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-outbox-") as folder:
        return [*_puts(Path(folder)), *_drain(Path(folder)), *_delivery(Path(folder)), *_memory(Path(folder))]


def _event(mint: Uuid7Generator) -> TrackingEvent:
    return TrackingEvent(
        event_id=mint(),
        site_id="hq",
        device_id="gate-01",
        camera_id="camera-1",
        timestamp=datetime.now(UTC),
        frame_number=1234,
        event_data=TrackingData(
            track_id=17,
            track_uid="0192f0c1-17",
            tracking_action="entered",
            class_name="car",
            confidence=0.91,
            bounding_box=BoundingBox(x=0.1, y=0.2, width=0.3, height=0.4),
            zones=["gate", "drive"],
            model_info=ModelInfo(model_type="ssd_mobilenet_v1", version="1"),
        ),
    )


def _puts(folder: Path) -> list[Figure]:
    mint = Uuid7Generator()
    events = [_event(mint) for _ in range(PUTS)]
    payload = dump_event(events[0])
    image = bytes(IMAGE_BYTES)
    raw = sqlite3.connect(folder / "raw.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute("CREATE TABLE events (sequence INTEGER PRIMARY KEY, payload BLOB)")
    outbox = Outbox(folder / "puts.db", settings=OutboxSettings(max_bytes=2**34))

    def raw_puts() -> None:
        for _ in range(PUTS):
            raw.execute("INSERT INTO events (payload) VALUES (?)", (payload,))

    def puts() -> None:
        for event in events:
            outbox.put(event)

    def puts_from_cameras() -> None:
        with ThreadPoolExecutor(CAMERAS) as cameras:
            list(cameras.map(outbox.put, events))

    def puts_with_images() -> None:
        for event in events[: PUTS // 4]:
            key = f"camera-1/2026-11-20/tracking_103045_{next(_numbers):06d}.jpg"
            reference = {"key": key, "content_type": "image/jpeg", "bytes": IMAGE_BYTES, "width": 1280, "height": 720}
            pictured = TrackingEvent.model_validate(event.model_dump() | {"snapshot": reference | {"sha256": "0" * 64}})
            outbox.put(pictured, snapshot=image)

    medians = interleaved_medians(
        {"raw": raw_puts, "puts": puts, "cameras": puts_from_cameras, "images": puts_with_images}, rounds=5
    )
    raw.close()
    outbox.close()
    raw_per_s = PUTS / medians["raw"]
    return [
        Figure("raw SQLite commit of one row", raw_per_s, "rows/s", note="baseline"),
        Figure("durable puts, one thread", PUTS / medians["puts"], "puts/s"),
        Figure("… against the baseline", medians["raw"] / medians["puts"], "×", target=0.5, better="higher"),
        Figure(f"durable puts, {CAMERAS} cameras at once", PUTS / medians["cameras"], "puts/s"),
        Figure("… against the baseline", medians["raw"] / medians["cameras"], "×", target=1.0, better="higher"),
        Figure("durable puts with an 80 KB image", PUTS / 4 / medians["images"], "puts/s"),
    ]


def _drain(folder: Path) -> list[Figure]:
    mint = Uuid7Generator()
    event = _event(mint)
    payload = dump_event(event)
    outbox = Outbox(folder / "drain.db", settings=OutboxSettings(keep_sent_bytes=2**34))
    with ThreadPoolExecutor(CAMERAS) as cameras:
        list(cameras.map(outbox.put, (event for _ in range(DRAINED))))
    raw = sqlite3.connect(folder / "raw-drain.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = NORMAL")
    raw.execute("CREATE TABLE events (sequence INTEGER PRIMARY KEY, payload BLOB)")

    def drain() -> None:
        outbox.resend(outbox.epoch, [(1, DRAINED)])
        while items := outbox.events.take(BATCH):
            outbox.events.ack(items)

    def raw_drain() -> None:
        raw.execute("BEGIN")
        raw.executemany("INSERT INTO events (payload) VALUES (?)", [(payload,)] * DRAINED)
        raw.execute("COMMIT")
        while rows := raw.execute(
            "SELECT sequence, payload FROM events ORDER BY sequence LIMIT ?", (BATCH,)
        ).fetchall():
            raw.execute("DELETE FROM events WHERE sequence <= ?", (rows[-1][0],))

    medians = interleaved_medians({"drain": drain, "raw": raw_drain}, rounds=5)
    raw.close()
    outbox.close()
    return [
        Figure("take and acknowledge, batches of 100", DRAINED / medians["drain"], "events/s"),
        Figure("… against raw select and delete", medians["raw"] / medians["drain"], "×", target=0.25, better="higher"),
    ]


def _delivery(folder: Path) -> list[Figure]:
    """Measure until every PUBACK is stored in the outbox, against paho alone with the same bytes and the same window.

    The broker shares the machine's cores.
    """
    mint = Uuid7Generator()
    payload = dump_event(_event(mint))
    outbox = Outbox(folder / "delivery.db", settings=OutboxSettings(keep_sent_bytes=2**34))
    with ThreadPoolExecutor(CAMERAS) as cameras:
        list(cameras.map(outbox.put, (_event(mint) for _ in range(DRAINED))))
    outbox.events.ack(outbox.events.take(DRAINED))
    broker = MqttBroker(folder=folder / "broker", port=reserve_port())
    broker.process.start()
    settings = MqttSettings(host=broker.host, port=broker.port)
    publisher = MqttPublisher(settings=settings, topics=DeviceTopics("hq", "gate-01"))
    connected = threading.Event()
    publisher.add_listener(connected.set)
    publisher.start()
    connected.wait(20)
    sender = Sender(outbox=outbox, publisher=publisher)
    sender.start()
    window = threading.Semaphore(settings.max_in_flight)
    bare = paho.Client(CallbackAPIVersion.VERSION2, client_id="bare")
    bare.max_inflight_messages_set(0)
    bare.on_publish = lambda *_: window.release()
    bare.connect(broker.host, broker.port)
    bare.loop_start()

    def deliver() -> None:
        outbox.resend(outbox.epoch, [(1, DRAINED)])
        while outbox.health().pending_events:
            time.sleep(0.005)

    def publish_only() -> None:
        for _ in range(DRAINED):
            window.acquire()
            bare.publish("vedette/hq/gate-02/events/camera-1/tracking", payload, qos=1)
        for _ in range(settings.max_in_flight):
            window.acquire()
        window.release(settings.max_in_flight)

    medians = interleaved_medians({"deliver": deliver, "bare": publish_only}, rounds=3, warm_up=0)
    sender.close()
    publisher.close()
    outbox.close()
    bare.disconnect()
    bare.loop_stop()
    broker.process.stop()
    return [
        Figure("delivered to a local broker, QoS 1", DRAINED / medians["deliver"], "events/s"),
        Figure("… against paho alone", medians["bare"] / medians["deliver"], "×", target=0.5, better="higher"),
    ]


def _memory(folder: Path) -> list[Figure]:
    """Measure memory: the outbox keeps pending events on disk and not in memory."""
    mint = Uuid7Generator()
    outbox = Outbox(folder / "memory.db", settings=OutboxSettings(max_bytes=2**34))
    outbox.put(_event(mint))
    before = _resident_bytes()
    with ThreadPoolExecutor(CAMERAS) as cameras:
        list(cameras.map(outbox.put, (_event(mint) for _ in range(DRAINED))))
    grown = _resident_bytes() - before
    outbox.close()
    return [Figure("memory for 5,000 more waiting events", grown / 2**20, "MiB", target=25)]


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
