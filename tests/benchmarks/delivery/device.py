"""A device without cameras, in a process of its own: the agent's outbox, sender, connection, commands and heartbeat.

It writes the file ``ready`` when it is connected, and then waits for the file ``go``, which holds the Unix time until
which events are generated. Started again after ``kill -9``, it continues with the same outbox. The journal has a line
before an event is put into the outbox, one after the put has returned, and one when the broker has acknowledged it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from edge_agent.device.commands import CommandDispatcher, CommandHandlers, ReplyFields, ResendHandler
from edge_agent.device.health import HeartbeatLoop
from edge_agent.outbox import Outbox
from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.s3 import S3Store
from edge_agent.transport.sender import Sender
from edge_agent.transport.settings import MqttSettings, S3Settings, SenderSettings
from infra.local.aws.resources import BUCKET
from shared.clock import SystemClock
from shared.commands import Command
from shared.errors import PermanentError, VedetteError
from shared.events import ModelInfo, SnapshotRef, TrackingData, TrackingEvent
from shared.geometry import BoundingBox
from shared.ids import Uuid7Generator
from shared.storage_keys import snapshot_key, snapshot_object_key
from shared.topics import DeviceTopics
from tests.benchmarks.delivery.journal import ACKNOWLEDGED, CAPTURED, KEPT, REFUSED, JournalWriter

SITE_ID: Final = "bench"
IMAGE_EVERY: Final = 10
"""Every tenth event has an image."""
IMAGE_BYTES: Final = 8_000
HEARTBEAT_S: Final = 2.0
_POLL_S: Final = 0.05


class JournalingPublisher:
    """A ``MessagePublisher`` that passes messages on and notes in the journal which events were acknowledged."""

    def __init__(self, *, publisher: MqttPublisher, journal: JournalWriter) -> None:
        self._publisher = publisher
        self._journal = journal

    @property
    def connected(self) -> bool:
        return self._publisher.connected

    @property
    def max_in_flight(self) -> int:
        return self._publisher.max_in_flight

    def add_listener(self, listener: Callable[[], None]) -> None:
        self._publisher.add_listener(listener)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Future[None]:
        future = self._publisher.publish(topic, payload, retain=retain)
        if "/events/" in topic:
            event_id = str(json.loads(payload)["event_id"])
            future.add_done_callback(lambda done: self._note(done, event_id))
        return future

    def _note(self, done: Future[None], event_id: str) -> None:
        if done.exception() is None:
            self._journal.write(ACKNOWLEDGED, event_id)


class Source:
    """Generates events, and writes them into journal and outbox."""

    def __init__(self, *, device_id: str, outbox: Outbox, journal: JournalWriter) -> None:
        self._device_id = device_id
        self._outbox = outbox
        self._journal = journal
        self._new_id = Uuid7Generator()

    def run(self, *, rate: float, until_s: float, stopped: threading.Event) -> None:
        """Produce ``rate`` events a second until the Unix time ``until_s``."""
        number, began = self._outbox.health().last_sequence, time.monotonic()
        first = number
        while time.time() < until_s:
            number += 1
            self._produce(number)
            if stopped.wait(max(began + (number - first) / rate - time.monotonic(), 0)):
                return

    def _produce(self, number: int) -> None:
        event, image = self._event(number, datetime.now(UTC))
        event_id, ref = str(event.event_id), event.snapshot
        detail = "" if ref is None else f"{snapshot_object_key(self._device_id, ref.key)}={ref.sha256}"
        self._journal.write(CAPTURED, event_id, at_s=event.timestamp.timestamp(), detail=detail)
        try:
            self._outbox.put(event, snapshot=image)
        except VedetteError:
            self._journal.write(REFUSED, event_id)
        else:
            self._journal.write(KEPT, event_id)

    def _event(self, number: int, now: datetime) -> tuple[TrackingEvent, bytes | None]:
        camera_id = f"{self._device_id}-camera-{number % 5}"
        image = random.randbytes(IMAGE_BYTES) if number % IMAGE_EVERY == 0 else None
        event = TrackingEvent(
            event_id=self._new_id(),
            site_id=SITE_ID,
            device_id=self._device_id,
            camera_id=camera_id,
            timestamp=now,
            frame_number=number,
            snapshot=None if image is None else _reference(camera_id, now, image),
            event_data=TrackingData(
                track_id=number,
                track_uid=f"{self._device_id}-{number}",
                tracking_action="entered",
                class_name="car",
                confidence=0.9,
                bounding_box=BoundingBox(x=0.1, y=0.1, width=0.2, height=0.2),
                model_info=ModelInfo(model_type="bench", version="1"),
            ),
        )
        return event, image


def _reference(camera_id: str, now: datetime, image: bytes) -> SnapshotRef:
    key = snapshot_key(camera_id=camera_id, event_type="tracking", timestamp=now, extension="jpg")
    digest = hashlib.sha256(image).hexdigest()
    return SnapshotRef(key=key, content_type="image/jpeg", bytes=len(image), width=64, height=64, sha256=digest)


def _no_camera(_: Command) -> NoReturn:
    raise PermanentError("this device has no camera")


def _nothing(_: Command) -> ReplyFields:
    return {}


def _wait_for_start(folder: Path, connection: MqttPublisher, stopped: threading.Event) -> float:
    """Wait for the file ``go`` and return the time in it. A device that is started again finds it at once."""
    go = folder.parent / "go"
    while not stopped.wait(_POLL_S):
        if connection.connected:
            (folder / "ready").touch()
        if go.is_file():
            return float(go.read_text(encoding="ascii"))
    return 0.0


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--broker-port", type=int, required=True)
    parser.add_argument("--store-url", required=True)
    parser.add_argument("--rate", type=float, required=True, help="events per second")
    options = parser.parse_args()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())

    clock, topics = SystemClock(), DeviceTopics(SITE_ID, options.device)
    journal = JournalWriter(options.folder / "journal.txt")
    outbox = Outbox(options.folder / "outbox.db")
    handlers = CommandHandlers(
        snapshot=_no_camera, test_connection=_no_camera, reload=_nothing, resend=ResendHandler(outbox=outbox)
    )
    dispatcher = CommandDispatcher(topics=topics, handlers=handlers, clock=clock)
    settings = MqttSettings(host="127.0.0.1", port=options.broker_port, reconnect_max_s=2, ack_timeout_s=5)
    connection = MqttPublisher(settings=settings, topics=topics, on_command=dispatcher.receive, clock=clock)
    publisher = JournalingPublisher(publisher=connection, journal=journal)
    store = S3Store(
        settings=S3Settings(bucket=BUCKET, region="eu-central-1", endpoint_url=options.store_url),
        device_id=options.device,
    )
    sender = Sender(outbox=outbox, publisher=publisher, store=store, settings=SenderSettings(retry_max_s=5))
    heartbeat = HeartbeatLoop(
        topics=topics, publisher=connection, outbox=outbox, cameras=list, interval_s=HEARTBEAT_S, clock=clock
    )
    dispatcher.start(connection)
    sender.start()
    heartbeat.start()
    connection.start()
    source = Source(device_id=options.device, outbox=outbox, journal=journal)
    until_s = _wait_for_start(options.folder, connection, stopped)
    source.run(rate=options.rate, until_s=until_s, stopped=stopped)
    stopped.wait()
    heartbeat.close()
    dispatcher.close()
    sender.close(2.0)
    connection.close()
    outbox.close()


if __name__ == "__main__":
    main()
