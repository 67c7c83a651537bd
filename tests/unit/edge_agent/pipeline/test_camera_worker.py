"""The thread of one camera: faults, restarts, and status events."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edge_agent.camera.source import SourceStatus
from edge_agent.config import CameraSettings
from edge_agent.events.builder import BuiltEvent
from edge_agent.pipeline.camera_worker import CameraWorker, RetryDelays
from edge_agent.pipeline.context import CameraContext, DeviceContext
from edge_agent.types import ArrayPicture, Frame
from shared.clock import ManualClock, SystemClock
from shared.errors import ConfigurationError
from shared.events import CameraStatusData, CameraStatusEvent
from shared.ids import Uuid7Generator
from tests.support.edge.builders import frame
from tests.support.edge.fake_source import FakeSource, FakeSources
from tests.support.waiting import eventually


class FakePipeline:
    """Counts frames, and raises an exception for the given frame."""

    def __init__(self, *, fails_on: int | None = None) -> None:
        self.seen: list[int] = []
        self.fails_on = fails_on
        self.finished = self.closed = False

    def process(self, frame: Frame) -> None:
        if frame.number == self.fails_on:
            raise RuntimeError("a bug")
        self.seen.append(frame.number)

    def finish(self) -> None:
        self.finished = True

    def close(self) -> None:
        self.closed = True


def _context(published: list[BuiltEvent]) -> CameraContext:
    device = DeviceContext(site_id="hq", device_id="gate-01", publish=published.append, new_id=Uuid7Generator())
    return CameraContext(device=device)


def _worker(pipelines: list[FakePipeline], sources: FakeSources, published: list[BuiltEvent]) -> CameraWorker:
    waiting = list(pipelines)
    return CameraWorker(
        camera=CameraSettings(id="yard", source="gst:fake"),
        build_pipeline=lambda: waiting.pop(0),
        context=_context(published),
        clock=SystemClock(),
        open_source=sources,
        delays=RetryDelays(source_s=0.01, fault_s=0.01),
    )


def _run_to_the_end(worker: CameraWorker) -> None:
    worker.start()
    assert worker.join(10.0)


def _states(published: list[BuiltEvent]) -> list[str]:
    return [b.event.event_data.status for b in published if isinstance(b.event, CameraStatusEvent)]


def test_a_fault_restarts_the_camera_with_a_new_pipeline() -> None:
    """The faulty pipeline is closed, and the new one processes the source from its start."""
    published: list[BuiltEvent] = []
    frames = [frame(number) for number in range(1, 6)]
    faulty, fresh = FakePipeline(fails_on=3), FakePipeline()
    sources = FakeSources(FakeSource(frames), FakeSource(frames, endless=False))
    _run_to_the_end(_worker([faulty, fresh], sources, published))
    assert (faulty.seen, faulty.closed) == ([1, 2], True)
    assert (fresh.seen, fresh.finished, fresh.closed) == ([1, 2, 3, 4, 5], True, True)
    assert _states(published) == ["online", "degraded", "online", "offline"]


def test_python_a_repeated_fault_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Four restarts with the same fault log one traceback, and the camera runs when the fault is gone."""
    published: list[BuiltEvent] = []
    frames = [frame(1)]
    pipelines = [*(FakePipeline(fails_on=1) for _ in range(4)), FakePipeline()]
    sources = FakeSources(*(FakeSource(frames) for _ in range(4)), FakeSource(frames, endless=False))
    _run_to_the_end(_worker(pipelines, sources, published))
    assert pipelines[4].seen == [1]
    assert caplog.text.count("Traceback") == 1
    assert "processing camera yard failed unexpectedly" in caplog.text


def test_a_missing_source_is_retried() -> None:
    """A file can appear later, for example when its file system is mounted."""
    published: list[BuiltEvent] = []
    late = FakeSource([frame(1)], endless=False)
    sources = FakeSources(ConfigurationError("no such file"), ConfigurationError("no such file"), late)
    pipelines = [FakePipeline(), FakePipeline(), FakePipeline()]
    _run_to_the_end(_worker(pipelines, sources, published))
    assert pipelines[2].seen == [1]
    assert all(pipeline.closed for pipeline in pipelines)
    assert _states(published) == ["offline", "online", "offline"]


def _picture(seed: int, *, second: int, size: tuple[int, int] = (180, 320)) -> Frame:
    bgr = np.random.default_rng(seed).integers(40, 200, (*size, 3)).astype(np.uint8)
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    return Frame(number=second + 1, timestamp=at, time_s=float(second), picture=ArrayPicture(bgr))


class _TickingClock(ManualClock):
    """Advances by one second per reading, so that the worker reads the status after every frame."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


def _statuses(frames: list[Frame], *, settings: dict[str, object] | None = None) -> list[CameraStatusData]:
    published: list[BuiltEvent] = []
    camera = CameraSettings.model_validate({"id": "yard", "source": "gst:fake", "picture_health": settings or {}})
    worker = CameraWorker(
        camera=camera,
        build_pipeline=FakePipeline,
        context=_context(published),
        clock=_TickingClock(),
        open_source=FakeSources(FakeSource(frames, endless=False)),
    )
    _run_to_the_end(worker)
    return [b.event.event_data for b in published if isinstance(b.event, CameraStatusEvent)]


def test_edge_14_a_frozen_picture_and_its_end_are_reported_once() -> None:
    """The camera is degraded with a cause and a text, then online; a change of the text alone emits no event."""
    frames = [_picture(1 if 10 <= second < 70 else second, second=second) for second in range(90)]
    statuses = _statuses(frames)
    assert [(status.status, status.cause) for status in statuses] == [
        ("online", None),
        ("degraded", "frozen"),
        ("online", None),
        ("offline", None),
    ]
    assert "has not changed for 30 s" in (statuses[1].error or "")


def test_edge_14_picture_health_can_be_disabled() -> None:
    """A camera whose picture never changes, such as a screen, remains online."""
    frames = [_picture(1, second=second) for second in range(90)]
    assert [status.status for status in _statuses(frames, settings={"enabled": False})] == ["online", "offline"]


def test_edge_14_each_picture_fault_is_reported() -> None:
    """A change from one cause to another emits an event."""
    blank = np.full((180, 320, 3), 110, np.uint8)
    frames = [_picture(second, second=second) for second in range(10)]
    frames += [replace(_picture(0, second=second), picture=ArrayPicture(blank)) for second in range(10, 30)]
    frames += [replace(_picture(0, second=second), picture=ArrayPicture(blank // 10)) for second in range(30, 50)]
    causes = [status.cause for status in _statuses(frames)]
    assert causes == [None, "covered", "black", None]


def test_edge_12_a_new_resolution_emits_one_status_event(caplog: pytest.LogCaptureFixture) -> None:
    """The camera stays online, and the event has the new resolution."""
    caplog.set_level(logging.INFO, "edge_agent.pipeline.camera_worker")
    frames = [_picture(second, second=second) for second in range(5)]
    frames += [_picture(second, second=second, size=(90, 160)) for second in range(5, 10)]
    statuses = _statuses(frames)
    assert [(status.status, status.resolution) for status in statuses] == [
        ("online", "320x180"),
        ("online", "160x90"),
        ("offline", "160x90"),
    ]
    # The source itself logs the new resolution.
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "camera yard is online",
        "camera yard is offline",
    ]


def test_edge_10_the_first_frame_is_awaited_until_it_is_available() -> None:
    """Otherwise a snapshot command in between would be answered with ``not connected yet``."""
    seen: list[tuple[bool, bool]] = []

    class WatchedSource(FakeSource):
        def read(self, timeout_s: float) -> Frame | None:
            read = super().read(timeout_s)
            seen.append((worker.awaits_first_frame, worker.latest_frame is not None))
            return read

        def status(self) -> SourceStatus:
            seen.append((worker.awaits_first_frame, worker.latest_frame is not None))
            return super().status()

    worker = _worker([FakePipeline()], FakeSources(WatchedSource([frame(1)])), [])
    worker.start()
    eventually(lambda: (False, True) in seen)
    worker.request_stop()
    assert worker.join(10.0)
    assert (False, False) not in seen
    assert seen[0] == (True, False)


def test_stopping_finishes_the_pipeline_and_closes_the_source() -> None:
    """On a stop request, open tracks end, and the pipeline and the source are closed."""
    published: list[BuiltEvent] = []
    source, pipeline = FakeSource([frame(1)]), FakePipeline()
    worker = _worker([pipeline], FakeSources(source), published)
    worker.start()
    deadline = time.monotonic() + 10
    while worker.latest_frame is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert worker.latest_frame is not None
    worker.request_stop()
    assert worker.join(10.0)
    assert (pipeline.finished, pipeline.closed, source.closed) == (True, True, True)
    assert worker.latest_frame is None
