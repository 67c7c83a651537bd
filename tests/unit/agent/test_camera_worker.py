"""One camera's thread, when things go wrong."""

from __future__ import annotations

import time

import pytest

from edge_agent.camera_worker import CameraWorker
from edge_agent.config import CameraSettings
from edge_agent.events.builder import BuiltEvent, EventBuilder, Origin, SnapshotSettings
from edge_agent.types import Frame
from shared.clock import SystemClock
from shared.errors import ConfigurationError
from shared.events import CameraStatusEvent
from shared.ids import Uuid7Generator
from tests.unit.agent.fake_source import FakeSource, FakeSources
from tests.unit.scenes import frame


class FakePipeline:
    """Counts frames; fails on those that it is told to fail on."""

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


def _worker(pipelines: list[FakePipeline], sources: FakeSources, published: list[BuiltEvent]) -> CameraWorker:
    origin = Origin(site_id="hq", device_id="gate-01", camera_id="yard")
    waiting = list(pipelines)
    return CameraWorker(
        camera=CameraSettings(id="yard", source="gst:fake"),
        build_pipeline=lambda: waiting.pop(0),
        builder=EventBuilder(origin=origin, snapshots=SnapshotSettings(), new_id=Uuid7Generator()),
        publish=published.append,
        clock=SystemClock(),
        open_source=sources,
        retry_s=0.01,
        restart_s=0.01,
    )


def _run_to_the_end(worker: CameraWorker) -> None:
    worker.start()
    assert worker.join(10.0)


def _states(published: list[BuiltEvent]) -> list[str]:
    return [b.event.event_data.status for b in published if isinstance(b.event, CameraStatusEvent)]


def test_a_bug_costs_one_frame_and_not_the_camera() -> None:
    """After a fault the camera begins again with a fresh pipeline; the faulty one is closed."""
    published: list[BuiltEvent] = []
    frames = [frame(number) for number in range(1, 6)]
    faulty, fresh = FakePipeline(fails_on=3), FakePipeline()
    sources = FakeSources(FakeSource(frames), FakeSource(frames, endless=False))
    _run_to_the_end(_worker([faulty, fresh], sources, published))
    assert (faulty.seen, faulty.closed) == ([1, 2], True)
    assert (fresh.seen, fresh.finished, fresh.closed) == ([1, 2, 3, 4, 5], True, True)
    assert _states(published) == ["online", "degraded", "online", "offline"]


def test_python_a_fault_that_repeats_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Four restarts with the same fault leave one traceback in the log, and the camera runs once the fault is gone."""
    published: list[BuiltEvent] = []
    frames = [frame(1)]
    pipelines = [*(FakePipeline(fails_on=1) for _ in range(4)), FakePipeline()]
    sources = FakeSources(*(FakeSource(frames) for _ in range(4)), FakeSource(frames, endless=False))
    _run_to_the_end(_worker(pipelines, sources, published))
    assert pipelines[4].seen == [1]
    assert caplog.text.count("Traceback") == 1
    assert "processing camera yard failed unexpectedly" in caplog.text


def test_a_source_that_is_not_there_yet_is_tried_again() -> None:
    """A file may be put there, a mount may come up."""
    published: list[BuiltEvent] = []
    late = FakeSource([frame(1)], endless=False)
    sources = FakeSources(ConfigurationError("no such file"), ConfigurationError("no such file"), late)
    pipelines = [FakePipeline(), FakePipeline(), FakePipeline()]
    _run_to_the_end(_worker(pipelines, sources, published))
    assert pipelines[2].seen == [1]
    assert all(pipeline.closed for pipeline in pipelines)
    assert _states(published) == ["offline", "online", "offline"]


def test_stopping_closes_what_is_open() -> None:
    """Asked to stop, the worker finishes its pipeline (open visits are told) and closes its source."""
    published: list[BuiltEvent] = []
    source, pipeline = FakeSource([frame(1)]), FakePipeline()
    worker = _worker([pipeline], FakeSources(source), published)
    worker.start()
    deadline = time.monotonic() + 10
    while worker.latest_frame is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert worker.latest_frame is not None
    worker.ask_to_stop()
    assert worker.join(10.0)
    assert (pipeline.finished, pipeline.closed, source.closed) == (True, True, True)
    assert worker.latest_frame is None
