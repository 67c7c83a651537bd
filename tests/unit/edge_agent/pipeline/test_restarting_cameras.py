"""Commands for cameras while another one, or the camera itself, is being restarted with other settings."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_agent.config import CameraSettings, ModelPlaces
from edge_agent.device.commands import NotReadyError
from edge_agent.events.builder import BuiltEvent
from edge_agent.pipeline.context import DeviceContext
from edge_agent.pipeline.supervisor import Cameras
from edge_agent.types import Frame
from shared.clock import SystemClock
from shared.commands import SnapshotCommand
from shared.errors import ConfigurationError, TransientError
from shared.ids import Uuid7Generator
from tests.support.edge.builders import frame
from tests.support.edge.delivery_harness import pause
from tests.support.edge.fake_source import FakeSource, FakeSources
from tests.support.waiting import eventually


class SlowToStop(FakeSource):
    """A camera whose reader is blocked until ``release`` is set, after its frame and, with ``lost``, an error."""

    def __init__(self, *, lost: bool = False) -> None:
        super().__init__([frame(1, seed=1)])
        self._left = 2 if lost else 1
        self.blocked, self.release = threading.Event(), threading.Event()

    def read(self, timeout_s: float) -> Frame | None:
        if self._left:
            self._left -= 1
            picture = super().read(timeout_s)
            if picture is None:
                self.state, self.error = "offline", "no picture for 10 s"
            return picture
        self.blocked.set()
        self.release.wait(20)
        return None


def _cameras(*sources: FakeSource) -> Cameras:
    return Cameras(
        device=DeviceContext(site_id="hq", device_id="gate-01", publish=lambda _: None, new_id=Uuid7Generator()),
        places=ModelPlaces(location=None, cache_dir=Path("/nonexistent")),
        clock=SystemClock(),
        open_source=FakeSources(*sources),
    )


def _camera(camera_id: str, **fields: object) -> CameraSettings:
    return CameraSettings.model_validate({"id": camera_id, "source": "gst:fake", "mode": "motion"} | fields)


def _snapshot(cameras: Cameras, camera_id: str) -> BuiltEvent:
    return cameras.take_snapshot(SnapshotCommand(command_id="c-1", camera_id=camera_id))


def _waits(cameras: Cameras, camera_id: str) -> bool:
    try:
        _snapshot(cameras, camera_id)
    except TransientError as error:
        return isinstance(error, NotReadyError)
    return False


def _begin(cameras: Cameras, wanted: Sequence[CameraSettings]) -> threading.Thread:
    """Apply in another thread; return it while it waits for a camera to stop."""
    thread = threading.Thread(target=cameras.apply, args=(wanted,), daemon=True)
    thread.start()
    pause(0.2)
    return thread


def test_another_camera_gives_its_picture_while_one_stops() -> None:
    """Stopping a camera may take seconds, during which only that camera has none."""
    slow = SlowToStop()
    cameras = _cameras(slow, FakeSource([frame(1, seed=1)]))
    cameras.apply([_camera("slow")])
    assert slow.blocked.wait(20)
    cameras.apply([_camera("slow"), _camera("yard")])
    eventually(lambda: cameras.progress()["yard"].has_picture)
    applying = _begin(cameras, [_camera("slow", motion={"threshold": 30}), _camera("yard")])
    assert _snapshot(cameras, "yard").event.camera_id == "yard"
    assert applying.is_alive()
    slow.release.set()
    applying.join(20)
    assert cameras.progress()["slow"].camera.motion.threshold == 30
    cameras.stop()


def test_a_snapshot_of_a_camera_that_stops_waits() -> None:
    """The camera may be started with other settings; where it was removed, the command fails after that."""
    slow = SlowToStop(lost=True)
    cameras = _cameras(slow)
    cameras.apply([_camera("yard")])
    assert slow.blocked.wait(20)
    with pytest.raises(TransientError, match="no picture for 10 s") as failed:
        _snapshot(cameras, "yard")
    assert not isinstance(failed.value, NotReadyError)
    applying = _begin(cameras, [])
    eventually(lambda: _waits(cameras, "yard"))
    slow.release.set()
    applying.join(20)
    with pytest.raises(ConfigurationError, match="no camera yard"):
        _snapshot(cameras, "yard")
