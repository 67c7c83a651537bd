"""The handler of snapshot commands: uploads past the backlog, falls back to the outbox, describes the image."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.device import snapshots
from edge_agent.device.snapshots import SnapshotHandler
from edge_agent.events.builder import BuiltEvent, EventBuilder, Origin
from edge_agent.events.timestamps import UniqueTimestamps
from edge_agent.images.snapshot import SnapshotRenderer, SnapshotSettings
from edge_agent.outbox import Outbox, OutboxFullError
from edge_agent.types import ArrayPicture, Frame
from shared.clock import ManualClock, StepAwareClock
from shared.commands import SnapshotCommand, TakenSnapshot
from shared.errors import ConfigurationError, PermanentError, TransientError
from shared.ids import Uuid7Generator
from shared.storage_keys import snapshot_object_key, thumbnail_object_key
from tests.support.edge.fake_transport import FakeStore
from tests.support.edge.outbox_builders import stamped_event

WIDTH, HEIGHT = 640, 360


class Device:
    """A handler with one camera, an outbox on the disk, and a store in memory."""

    def __init__(self, folder: Path, *, store: FakeStore | None) -> None:
        self.clock = ManualClock()
        self.frame_clock = StepAwareClock(self.clock)
        self.outbox = Outbox(folder / "outbox.db", clock=self.clock)
        self.store = store
        self.taken = 0
        self._builder = EventBuilder(
            origin=Origin(site_id="hq", device_id="gate-01", camera_id="yard"),
            renderer=SnapshotRenderer(SnapshotSettings(thumbnail_width_px=None)),
            timestamps=UniqueTimestamps(),
            new_id=Uuid7Generator(),
        )
        self.handler = SnapshotHandler(take=self.capture, store=store, outbox=self.outbox, clock=self.frame_clock)

    def capture(self, command: SnapshotCommand) -> BuiltEvent:
        self.taken += 1
        image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        frame = Frame(number=7, timestamp=self.frame_clock.now(), time_s=1.0, picture=ArrayPicture(image))
        return self._builder.snapshot_taken(
            frame, snapshot_id=command.snapshot_id or "", command_id=command.command_id, thumbnail=command.thumbnail
        )

    def take(self, **fields: Any) -> TakenSnapshot:
        command = SnapshotCommand.model_validate(
            {"command_id": "c-1", "camera_id": "yard", "snapshot_id": "s-1", **fields}
        )
        reply = self.handler(command)
        assert reply["snapshot_id"] == "s-1"
        return TakenSnapshot.model_validate(reply["snapshot"])

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(item.payload) for item in self.outbox.events.take(10)]

    def image_keys(self) -> list[str]:
        return [item.object_key for item in self.outbox.images.take(10)]


@pytest.fixture
def make_device(tmp_path: Path) -> Iterator[Callable[..., Device]]:
    made: list[Device] = []

    def make(*, store: FakeStore | None = None) -> Device:
        made.append(Device(tmp_path, store=store))
        return made[-1]

    yield make
    for device in made:
        device.outbox.close()


def _failing(error: Exception) -> FakeStore:
    store = FakeStore()
    store.error_for = lambda _: error
    return store


def test_the_image_is_stored_before_the_event(make_device: Callable[..., Device]) -> None:
    """The reply and the event describe an image that can be read already; the outbox holds no copy of it."""
    store = FakeStore()
    device = make_device(store=store)
    taken = device.take()
    assert (taken.stored, taken.error, taken.camera_id, taken.has_thumbnail) == (True, None, "yard", False)
    assert (taken.image.width, taken.image.height, taken.image.content_type) == (WIDTH, HEIGHT, "image/jpeg")
    body = store.stored[snapshot_object_key("gate-01", taken.image.key)]
    assert len(body) == taken.image.bytes
    picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (HEIGHT, WIDTH, 3)
    [event] = device.events()
    assert event["event_data"] | {"thumbnail_key": None} == {
        "snapshot_id": "s-1", "command_id": "c-1", "thumbnail_key": None, "stored": True, "error": None,
    }  # fmt: skip
    assert event["snapshot"]["key"] == taken.image.key
    assert device.image_keys() == []


def test_a_snapshot_does_not_wait_for_the_backlog(make_device: Callable[..., Device]) -> None:
    """The images of earlier events are still in the outbox when the requested image is in the store."""
    store = FakeStore()
    device = make_device(store=store)
    for _ in range(3):
        device.outbox.put(stamped_event(device.clock, picture=True), snapshot=b"jpg")
        device.clock.advance(1)
    taken = device.take()
    assert list(store.stored) == [snapshot_object_key("gate-01", taken.image.key)]
    assert len(device.image_keys()) == 3


@pytest.mark.parametrize("asked", [True, False, None])
def test_the_command_decides_about_the_thumbnail(make_device: Callable[..., Device], asked: bool | None) -> None:
    """Without a word of the command, the camera's settings do; this camera makes none."""
    store = FakeStore()
    device = make_device(store=store)
    taken = device.take(thumbnail=asked)
    assert taken.has_thumbnail == bool(asked)
    assert (thumbnail_object_key("gate-01", taken.image.key) in store.stored) == bool(asked)
    [event] = device.events()
    assert (event["event_data"].get("thumbnail_key") is not None) == bool(asked)


@pytest.mark.parametrize("error", [TransientError("S3 is away"), PermanentError("access is denied")])
def test_an_image_that_cannot_be_stored_is_kept(make_device: Callable[..., Device], error: Exception) -> None:
    """The reply says so, and the outbox holds the event and its images until the store is back."""
    device = make_device(store=_failing(error))
    taken = device.take(thumbnail=True)
    assert (taken.stored, taken.error) == (False, str(error))
    [event] = device.events()
    assert event["event_data"]["stored"] is False
    assert device.image_keys() == [
        snapshot_object_key("gate-01", taken.image.key),
        thumbnail_object_key("gate-01", taken.image.key),
    ]


def test_an_unexpected_error_of_the_store_loses_nothing(make_device: Callable[..., Device]) -> None:
    """The reply does not contain its text, which could be anything."""
    device = make_device(store=_failing(RuntimeError("hush-hush")))
    taken = device.take()
    assert taken.error == "internal error (RuntimeError); see the device's log"
    assert len(device.image_keys()) == 1


def test_a_store_that_does_not_answer_does_not_delay_the_reply(
    make_device: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply comes while the upload still hangs, and the outbox has the image."""
    monkeypatch.setattr(snapshots, "_MIN_UPLOAD_S", 0.05)
    released = threading.Event()

    class HangingStore(FakeStore):
        def put(self, object_key: str, body: bytes, *, content_type: str) -> None:
            released.wait(30)

    device = make_device(store=HangingStore())
    try:
        taken = device.take(reply_within_s=1)
        assert not released.is_set()
    finally:
        released.set()
    assert (taken.stored, taken.error) == (False, "the image store did not answer in time")
    assert len(device.image_keys()) == 1


def test_a_device_without_a_bucket_takes_no_snapshot(make_device: Callable[..., Device]) -> None:
    """Its images would stay in the outbox for ever; the error says what to set."""
    device = make_device(store=None)
    with pytest.raises(ConfigurationError, match=r"no bucket.*\[s3\]"):
        device.take()
    assert (device.taken, device.events()) == (0, [])


def test_the_key_of_a_stored_image_survives_a_clock_step(make_device: Callable[..., Device]) -> None:
    """The clock is set while the event waits: its time is corrected, and its key still names the stored image."""
    store = FakeStore()
    device = make_device(store=store)
    taken = device.take()
    device.clock.step(3600)
    [event] = device.events()
    assert event["timestamp"] > taken.captured_at.isoformat()
    assert snapshot_object_key("gate-01", event["snapshot"]["key"]) in store.stored


def test_the_key_has_the_time_of_a_clock_that_was_set_before(make_device: Callable[..., Device]) -> None:
    """The frame is older than the step, so the image gets the corrected time at once."""
    store = FakeStore()
    device = make_device(store=store)
    take = device.capture

    def take_and_step(command: SnapshotCommand) -> BuiltEvent:
        built = take(command)
        device.clock.step(3600)
        return built

    device.handler = SnapshotHandler(take=take_and_step, store=store, outbox=device.outbox, clock=device.frame_clock)
    taken = device.take()
    assert f"{taken.captured_at:%H%M%S}" in taken.image.key
    assert taken.captured_at == device.clock.now()
    assert list(store.stored) == [snapshot_object_key("gate-01", taken.image.key)]


def test_a_stored_image_is_reported_even_if_its_event_is_lost(
    make_device: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full: the image is in the bucket and the reply says so. Without the bucket it is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise OutboxFullError("the disk is full")

    device = make_device(store=FakeStore())
    monkeypatch.setattr(device.outbox, "put", refuse)
    assert device.take().stored
    device.handler = SnapshotHandler(
        take=device.capture, store=_failing(TransientError("away")), outbox=device.outbox, clock=device.frame_clock
    )
    with pytest.raises(OutboxFullError):
        device.take()
