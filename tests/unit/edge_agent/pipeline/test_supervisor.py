"""The cameras of a device: their lifecycle, their status events, and the commands for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from edge_agent.config import CameraSettings, ModelPlaces
from edge_agent.device.commands import CommandFailedError, NotReadyError
from edge_agent.events.builder import BuiltEvent
from edge_agent.pipeline.context import DeviceContext
from edge_agent.pipeline.supervisor import FIRST_FRAME_WAIT_S, Cameras, OpenStays
from edge_agent.types import Frame
from shared.clock import Clock, ManualClock, SystemClock
from shared.commands import SnapshotCommand, TestConnectionCommand
from shared.errors import ConfigurationError, TransientError
from shared.events import CameraStatusEvent, SnapshotEvent
from shared.ids import Uuid7Generator
from tests.support.edge.builders import frame
from tests.support.edge.fake_source import FakeSource, FakeSources


def _eventually(condition: Callable[[], object], *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.005)


class Device:
    """Cameras with prepared sources, and all events that they published."""

    def __init__(
        self,
        *prepared: FakeSource | Exception,
        clock: Clock | None = None,
        open_stays: OpenStays | None = None,
        keep_pictures: bool = True,
    ) -> None:
        self.published: list[BuiltEvent] = []
        self.sources = FakeSources(*prepared)
        self.cameras = Cameras(
            device=DeviceContext(
                site_id="hq",
                device_id="gate-01",
                publish=self.published.append,
                new_id=Uuid7Generator(),
                keep_pictures=keep_pictures,
            ),
            places=ModelPlaces(location=None, cache_dir=Path("/nonexistent")),
            clock=clock or SystemClock(),
            open_source=self.sources,
            open_stays=open_stays,
        )

    def conditions(self) -> list[tuple[str, str | None]]:
        events = [built.event for built in self.published]
        return [(e.event_data.status, e.event_data.error) for e in events if isinstance(e, CameraStatusEvent)]


def _camera(camera_id: str = "yard", **fields: object) -> CameraSettings:
    return CameraSettings.model_validate(
        {"id": camera_id, "source": "gst:fake", "mode": "motion", "motion_events": False} | fields
    )


def _frames(count: int) -> list[Frame | Exception]:
    return [frame(number, seed=number) for number in range(1, count + 1)]


def test_each_change_of_status_is_one_event() -> None:
    """The number of events does not depend on how often the status is read."""
    source = FakeSource(_frames(3))
    device = Device(source)
    device.cameras.apply([_camera()])
    _eventually(device.conditions)
    source.state, source.error = "offline", "no picture for 10 s"
    _eventually(lambda: len(device.conditions()) == 2)
    source.state, source.error = "online", None
    _eventually(lambda: len(device.conditions()) == 3)
    device.cameras.stop()
    assert device.conditions() == [("online", None), ("offline", "no picture for 10 s"), ("online", None)]
    assert source.closed


def test_health_contains_the_properties_of_the_stream() -> None:
    """The heartbeat has the state, the resolution, the codec and the frame rate."""
    device = Device(FakeSource(_frames(2)))
    device.cameras.apply([_camera()])
    _eventually(lambda: device.cameras.health()[0].status == "online")
    health = device.cameras.health()[0]
    assert (health.camera_id, health.resolution, health.codec, health.fps_actual) == ("yard", "320x180", "fake", 9.5)
    device.cameras.stop()


@pytest.mark.parametrize("keep_pictures", [True, False])
def test_a_device_that_keeps_no_pictures_makes_none(keep_pictures: bool) -> None:
    """Events have no snapshot, whatever the camera's settings are, and a snapshot command is answered with the reason.

    The same frames give an event with a snapshot on a device that keeps pictures.
    """
    moving: list[Frame | Exception] = [frame(number, seed=number) for number in range(1, 60)]
    device = Device(FakeSource(moving), keep_pictures=keep_pictures)
    device.cameras.apply([_camera(motion_events=True, snapshots={"enabled": True})])
    _eventually(lambda: any(built.event.event_type == "motion" for built in device.published))
    command = SnapshotCommand(command_id="c1", camera_id="yard")
    if keep_pictures:
        assert device.cameras.take_snapshot(command).snapshot is not None
    else:
        with pytest.raises(TransientError, match="keeps no pictures"):
            device.cameras.take_snapshot(command)
    device.cameras.stop()
    with_picture = {built.event.event_type for built in device.published if built.snapshot is not None}
    assert with_picture == ({"motion"} if keep_pictures else set())
    failed = [built.event for built in device.published if isinstance(built.event, SnapshotEvent)]
    assert [one.event_data.error is None for one in failed] == ([] if keep_pictures else [False])


def test_an_invalid_source_is_reported_and_other_cameras_run() -> None:
    """The status event has the error of the source."""
    device = Device(ConfigurationError("no such file: x.mp4"), FakeSource(_frames(1)))
    device.cameras.apply([_camera("broken")])
    _eventually(device.conditions)
    device.cameras.apply([_camera("broken"), _camera("fine")])
    _eventually(lambda: len(device.conditions()) == 2)
    device.cameras.stop()
    assert device.conditions() == [("offline", "no such file: x.mp4"), ("online", None)]


def test_a_recording_that_ends_is_reported() -> None:
    """After the last frame the camera is offline with a reason, and the source is not opened again."""
    device = Device(FakeSource(_frames(4), endless=False))
    device.cameras.apply([_camera()])
    _eventually(lambda: len(device.conditions()) == 2)
    device.cameras.stop()
    assert device.conditions()[-1] == ("offline", "the recording has ended")
    assert len(device.sources.opened) == 1


def test_apply_restarts_only_changed_cameras() -> None:
    """New cameras start, removed ones stop, changed ones restart, and the others keep running."""
    device = Device(FakeSource(_frames(1)))
    one, two = _camera("one"), _camera("two")
    assert device.cameras.apply([one, two]) == ["one", "two"]
    assert device.cameras.apply([one, two]) == []
    changed = _camera("two", motion={"threshold": 30})
    assert device.cameras.apply([one, changed]) == ["two"]
    assert device.cameras.apply([changed, _camera("three", enabled=False)]) == ["one"]
    assert [health.camera_id for health in device.cameras.health()] == ["two"]
    device.cameras.stop()
    assert device.cameras.health() == []


def test_a_snapshot_command_captures_the_latest_frame() -> None:
    """The snapshot event has the id of the command. Its delivery is the caller's.

    The stream is neither opened again nor interrupted: the frames that follow are read.
    """
    source = FakeSource(_frames(3))
    device = Device(source)
    device.cameras.apply([_camera()])
    _eventually(lambda: device.cameras.health()[0].status == "online")
    taken = device.cameras.take_snapshot(SnapshotCommand(command_id="c-1", camera_id="yard"))
    source.add([frame(number, seed=number) for number in (4, 5)])
    _eventually(lambda: source.remaining == 0)
    assert (len(device.sources.opened), source.closed) == (1, False)
    device.cameras.stop()
    assert isinstance(taken.event, SnapshotEvent)
    assert (taken.event.event_data.snapshot_id, taken.event.event_data.command_id) == ("c-1", "c-1")
    assert taken.snapshot is not None
    assert not [built for built in device.published if isinstance(built.event, SnapshotEvent)]


def test_snapshots_before_and_after_a_restart_have_different_keys() -> None:
    """The camera shows the same frame again after a restart; its snapshot does not overwrite the first one."""
    device = Device(FakeSource(_frames(1)), FakeSource(_frames(1)))
    taken: list[BuiltEvent] = []
    for number, threshold in enumerate((20, 30)):
        device.cameras.apply([_camera(motion={"threshold": threshold})])
        _eventually(lambda: device.cameras.health()[0].status == "online")
        taken.append(device.cameras.take_snapshot(SnapshotCommand(command_id=f"c-{number}", camera_id="yard")))
    device.cameras.stop()
    assert len({built.event.snapshot.key for built in taken if built.event.snapshot}) == 2


def test_a_snapshot_command_without_a_picture_fails_with_the_reason() -> None:
    """The command raises an error, and a snapshot event has the same reason."""
    device = Device(ConfigurationError("no such file: x.mp4"))
    device.cameras.apply([_camera()])
    _eventually(device.conditions)
    with pytest.raises(TransientError, match="no such file"):
        device.cameras.take_snapshot(SnapshotCommand(command_id="c-1", camera_id="yard", snapshot_id="s-9"))
    device.cameras.stop()
    failed = [built.event for built in device.published if isinstance(built.event, SnapshotEvent)]
    assert [(event.event_data.snapshot_id, event.event_data.error) for event in failed] == [
        ("s-9", "no such file: x.mp4")
    ]


def test_connection_test_of_running_unreachable_and_unknown_cameras() -> None:
    """A live camera reports its running stream, a file is opened again, and an unknown camera is an error."""
    device = Device(FakeSource(_frames(2)))
    device.cameras.apply([_camera(), _camera("missing", source="nothing.mp4")])
    _eventually(lambda: all(health.status == "online" for health in device.cameras.health()))
    running = device.cameras.test_connection(TestConnectionCommand(command_id="c", camera_id="yard"))
    assert running == {"resolution": "320x180", "codec": "fake", "fps": 9.5}
    with pytest.raises(CommandFailedError, match=r"nothing\.mp4") as failed:
        device.cameras.test_connection(TestConnectionCommand(command_id="c", camera_id="missing"))
    assert failed.value.fields == {"cause": "no_such_stream"}
    with pytest.raises(ConfigurationError, match="no camera attic; it has yard, missing"):
        device.cameras.test_connection(TestConnectionCommand(command_id="c", camera_id="attic"))
    device.cameras.stop()


def test_edge_10_a_snapshot_command_waits_for_a_connecting_camera() -> None:
    """The camera is not ready until its first frame arrives, and then the command succeeds."""
    source = FakeSource([])
    source.state, source.error = "offline", "not connected yet"
    device = Device(source)
    device.cameras.apply([_camera()])
    command = SnapshotCommand(command_id="c-1", camera_id="yard")
    for _ in range(3):
        with pytest.raises(NotReadyError, match="not connected yet"):
            device.cameras.take_snapshot(command)
    source.state, source.error = "online", None
    source.add(_frames(1))
    taken: list[BuiltEvent] = []

    def snapshot_taken() -> bool:
        """Retry like the dispatcher while the camera is not ready."""
        with suppress(NotReadyError):
            taken.append(device.cameras.take_snapshot(command))
        return bool(taken)

    _eventually(snapshot_taken)
    device.cameras.stop()
    assert [built.snapshot is not None for built in taken] == [True]
    assert not [built for built in device.published if isinstance(built.event, SnapshotEvent)]


def test_edge_10_a_snapshot_command_waits_at_most_half_a_minute() -> None:
    """After that, the error gives the reason why there is no picture."""
    clock = ManualClock()
    source = FakeSource([])
    source.state, source.error = "offline", "nothing listens there"
    device = Device(source, clock=clock)
    device.cameras.apply([_camera()])
    command = SnapshotCommand(command_id="c-1", camera_id="yard")
    _eventually(device.conditions)
    clock.advance(FIRST_FRAME_WAIT_S - 1)
    with pytest.raises(NotReadyError):
        device.cameras.take_snapshot(command)
    clock.advance(2)
    with pytest.raises(TransientError, match="has no picture: nothing listens there") as caught:
        device.cameras.take_snapshot(command)
    assert not isinstance(caught.value, NotReadyError)
    device.cameras.stop()


def test_edge_50_a_new_pipeline_closes_open_stays_of_the_last_one() -> None:
    """This happens after a fault and at the first start, before any frame is processed."""
    closed: list[str] = []
    updates: list[tuple[str, Sequence[str], bool]] = []
    open_stays = OpenStays(update_last_seen=lambda *update: updates.append(update), close=closed.append)
    device = Device(FakeSource([*_frames(2), ConfigurationError("gone")], endless=False), open_stays=open_stays)
    device.cameras.apply([_camera()])
    _eventually(lambda: ("offline", "gone") in device.conditions())
    device.cameras.stop()
    assert closed == ["yard"]
    assert updates == [("yard", (), False)] * 2
