"""``edge-agent replay``: runs a recording through the complete pipeline as fast as possible, without network.

Times are those of the recording. Two runs differ only in their ids.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from edge_agent.camera.source import FrameSource, StreamInfo, open_source
from edge_agent.cli.replay_schedules import ReplaySchedules
from edge_agent.cli.replay_video import ReplayVideo
from edge_agent.config import CameraSettings, ModelPlaces
from edge_agent.events.builder import BuiltEvent
from edge_agent.pipeline.build import build_pipeline, find_camera_model
from edge_agent.pipeline.context import CameraContext, DeviceContext
from edge_agent.pipeline.timing import StageTimer
from edge_agent.types import Frame
from shared.clock import SystemClock
from shared.errors import ConfigurationError
from shared.events import Event, RuleEvent, TrackingEvent, dump_event
from shared.ids import Uuid7Generator
from shared.storage_keys import thumbnail_key

Progress = Callable[[StreamInfo, int], None]
"""Called with the stream and the number of processed frames."""

READ_TIMEOUT_S = 10.0


@dataclass(slots=True)
class ReplaySummary:
    """Event counts and processing times of a replay."""

    source: str
    model: str
    frames: int = 0
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict[str, float])
    events_by_type: Counter[str] = field(default_factory=Counter[str])
    tracking: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    """Number of events by class name and action."""
    rules: Counter[str] = field(default_factory=Counter[str])
    """Number of rule events by rule, name and direction, for example ``line_crossed door right``."""
    off_schedule: list[str] = field(default_factory=list[str])
    """``zone NAME`` and ``line NAME`` that were inactive during the whole recording."""
    warning: str | None = None

    @property
    def fps(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0

    def count(self, event: Event) -> None:
        """Count one event."""
        self.events_by_type[event.event_type] += 1
        if isinstance(event, TrackingEvent):
            actions = self.tracking.setdefault(event.event_data.class_name, Counter())
            actions[event.event_data.tracking_action] += 1
        elif isinstance(event, RuleEvent):
            data = event.event_data
            self.rules[" ".join(filter(None, (data.rule, data.name, data.direction)))] += 1

    def as_json(self) -> dict[str, object]:
        """Return the output of ``--json``."""
        return {
            "source": self.source,
            "model": self.model,
            "frames": self.frames,
            "seconds": round(self.seconds, 4),
            "fps": round(self.fps, 2),
            "stage_seconds": {name: round(seconds, 4) for name, seconds in self.stage_seconds.items()},
            "events": sum(self.events_by_type.values()),
            "events_by_type": dict(self.events_by_type),
            "tracking": {name: dict(actions) for name, actions in self.tracking.items()},
            "rules": dict(self.rules),
            "off_schedule": self.off_schedule,
            "warning": self.warning,
        }


class ReplayFolder:
    """Output folder of a replay: ``events.jsonl``, ``snapshots/<key>`` and ``thumbnails/<key>``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sequence = 0
        try:
            (folder / "snapshots").mkdir(parents=True, exist_ok=True)
            self._lines: BinaryIO = (folder / "events.jsonl").open("wb")
        except OSError as error:
            raise _unwritable(folder, error) from error

    def write(self, built: BuiltEvent) -> Event:
        """Write one event and its pictures. Raise ConfigurationError where that fails."""
        self._sequence += 1
        event = built.event.model_copy(update={"sequence": self._sequence, "sequence_epoch": "replay"})
        try:
            if event.snapshot is not None and built.snapshot is not None:
                self._picture("snapshots", event.snapshot.key, built.snapshot)
                if built.thumbnail is not None:
                    self._picture("thumbnails", thumbnail_key(event.snapshot.key), built.thumbnail)
            self._lines.write(dump_event(event) + b"\n")
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        return event

    def close(self) -> None:
        """Close the file. Raise ConfigurationError where its last lines cannot be written."""
        try:
            self._lines.close()
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def _picture(self, kind: str, key: str, data: bytes) -> None:
        path = self._folder / kind / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayJob:
    """What to replay, with which settings, and where the results go."""

    source: str
    out: Path
    """Folder for the events and their pictures."""
    camera: CameraSettings
    site_id: str
    device_id: str
    start_time: datetime | None = None
    """Capture time of the first frame; None takes that of the recording."""
    video: Path | None = None
    """Path of an annotated video to write; None writes none."""


def replay(job: ReplayJob, *, places: ModelPlaces, progress: Progress | None = None) -> ReplaySummary:
    """Run a recording through the pipeline of a camera and write its events and pictures.

    Raise ConfigurationError for a live source, and where the results cannot be written.
    """
    camera = job.camera
    timer = StageTimer()
    with ExitStack() as opened:
        stream = open_source(job.source, settings=camera.stream, clock=SystemClock(), start_time=job.start_time)
        opened.callback(stream.close)
        model = find_camera_model(camera, source=job.source, places=places)
        folder = ReplayFolder(job.out)
        opened.callback(folder.close)
        summary = ReplaySummary(source=stream.info().source, model=model.name if model else "blobs")
        drawing = None
        if job.video is not None:
            drawing = opened.enter_context(ReplayVideo(job.video, settings=camera.events, fps=stream.info().fps))

        def publish(built: BuiltEvent) -> None:
            event = folder.write(built)
            summary.count(event)
            if drawing is not None:
                drawing.note(event)

        device = DeviceContext(site_id=job.site_id, device_id=job.device_id, publish=publish, new_id=Uuid7Generator())
        pipeline = build_pipeline(
            camera, context=CameraContext(device=device, timer=timer), model=model, run_id="replay"
        )
        opened.callback(pipeline.close)

        schedules = ReplaySchedules(camera.events)

        def process(frame: Frame) -> None:
            pipeline.process(frame)
            off = schedules.note(frame.timestamp)
            if drawing is not None:
                with timer.stage("video"):
                    drawing.add(frame, pipeline.scene(), off=off)

        started = time.perf_counter()
        summary.frames = _play(stream, process, timer, progress)
        pipeline.finish()
        summary.seconds = time.perf_counter() - started
        summary.stage_seconds = timer.seconds
        summary.off_schedule = schedules.never_active
        summary.warning = stream.status().error
    return summary


def _play(stream: FrameSource, process: Callable[[Frame], None], timer: StageTimer, progress: Progress | None) -> int:
    if stream.live:
        raise ConfigurationError(
            f"{stream.info().source} is a live source; replay needs a recording (use `edge-agent run` for cameras)"
        )
    frames = 0
    while True:
        with timer.stage("decode"):
            frame = stream.read(READ_TIMEOUT_S)
        if frame is None:
            if stream.ended:
                return frames
            continue
        process(frame)
        frames += 1
        if progress is not None:
            progress(stream.info(), frames)


def _unwritable(folder: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot write to {folder}: {error.strerror or error}; choose another --out or free disk space"
    )
