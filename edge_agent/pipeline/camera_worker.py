"""One camera's thread: reads and processes frames, reports the camera's state, and restarts after errors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.camera.picture_health import PictureHealth
from edge_agent.camera.source import FrameSource, SourceStatus, StreamInfo, open_source
from edge_agent.config import CameraSettings, source_text
from edge_agent.pipeline.context import CameraContext
from edge_agent.pipeline.pipeline import CameraPipeline
from edge_agent.types import Frame
from shared.clock import Clock
from shared.errors import ConfigurationError, TransientError
from shared.events import CameraStatusData
from shared.heartbeat import CameraHealth, CameraState
from shared.retry import Backoff, FaultLog

logger = logging.getLogger(__name__)

READ_TIMEOUT_S = 1.0
MAX_RESTART_S = 120.0
STABLE_AFTER_S = 60.0
"""Running time after which the restart delay is reset."""

_NOT_CONNECTED = "not connected yet"
STALLED, AGENT_FAULT = "stalled", "agent_fault"
"""Causes of ``degraded`` in addition to those of ``PictureFault``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraProgress:
    """How far a camera has come since it was started with its settings."""

    camera: CameraSettings
    has_picture: bool
    """Whether it delivers frames now."""
    has_delivered: bool
    """Whether it has delivered a frame since its start."""
    has_failed: bool
    """Whether its settings, its model or its source do not work, as opposed to a camera that does not answer."""
    opened_s: float | None
    """When its source was opened last, on the monotonic clock; None while its model is loaded or downloaded."""
    error: str | None
    """Its present fault, without credentials."""


OpenSource = Callable[..., FrameSource]
"""Signature of ``open_source``."""
BuildPipeline = Callable[[], CameraPipeline]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDelays:
    """Delays before a camera that has failed is started again."""

    source_s: float = 30.0
    """After a source or a setting that does not work; a missing file may appear in the meantime."""
    fault_s: float = 5.0
    """After an internal error. It doubles with each consecutive error, up to ``MAX_RESTART_S``."""


DEFAULT_DELAYS = RetryDelays()


@dataclass(frozen=True, slots=True)
class _Condition:
    state: CameraState
    error: str | None = None
    cause: str | None = None
    """Machine-readable cause of ``degraded``."""
    resolution: str | None = None

    def differs(self, other: _Condition) -> bool:
        """Return whether the change from ``other`` is reported. A different error text alone is not."""
        resized = None not in (self.resolution, other.resolution) and self.resolution != other.resolution
        return (self.state, self.cause) != (other.state, other.cause) or resized


class CameraWorker:
    """Runs one camera until stopped. An error in one camera does not affect others."""

    def __init__(
        self,
        *,
        camera: CameraSettings,
        context: CameraContext,
        build_pipeline: BuildPipeline,
        clock: Clock,
        open_source: OpenSource = open_source,
        delays: RetryDelays = DEFAULT_DELAYS,
    ) -> None:
        self.camera = camera
        self._open_source = open_source
        self._retry_s = delays.source_s
        self._backoff = Backoff(min_s=delays.fault_s, max_s=max(delays.fault_s, MAX_RESTART_S))
        self._faults = FaultLog(logger)
        self.builder = context.event_builder(camera)
        self._build_pipeline = build_pipeline
        self._publish = context.device.publish
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera-{camera.id}", daemon=True)
        self._latest: Frame | None = None
        self._awaits_first_frame = True
        self._reported: _Condition | None = None
        self._condition = _Condition("offline", _NOT_CONNECTED)
        self._has_delivered = False
        self._opened_s: float | None = None
        self._info: StreamInfo | None = None
        self._status: SourceStatus | None = None

    def start(self) -> None:
        """Start the camera's thread."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the thread to stop. It ends open tracks and publishes their events first."""
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; return whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def latest_frame(self) -> Frame | None:
        """The latest processed frame; None while the camera is offline."""
        return self._latest if self._condition.state != "offline" else None

    @property
    def awaits_first_frame(self) -> bool:
        """Whether the first frame since the start is still expected. False after an error such as an invalid source."""
        return self._awaits_first_frame

    @property
    def is_stopping(self) -> bool:
        """Whether the camera was asked to stop, for example to be started with other settings."""
        return self._stopping.is_set()

    def progress(self) -> CameraProgress:
        """Return how far the camera has come since its start."""
        error = self._condition.error
        return CameraProgress(
            camera=self.camera,
            has_picture=self.latest_frame is not None,
            has_delivered=self._has_delivered,
            has_failed=not self._awaits_first_frame and not self._has_delivered,
            opened_s=self._opened_s,
            error=None if error == _NOT_CONNECTED else error,
        )

    def health(self) -> CameraHealth:
        """Return the camera's health for the heartbeat."""
        info, status, condition = self._info, self._status, self._condition
        return CameraHealth(
            camera_id=self.camera.id,
            status=condition.state,
            error=condition.error,
            cause=condition.cause,
            fps_actual=status.fps_actual if status else None,
            last_frame_at=status.last_frame_at if status else None,
            resolution=info.resolution if info else None,
            codec=info.codec if info else None,
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            started_s = self._clock.monotonic()
            try:
                self._run_once()
            except (ConfigurationError, TransientError) as error:
                self._awaits_first_frame = False
                self._set_condition(_Condition("offline", str(error)))
                self._stopping.wait(self._retry_s)
            except Exception as error:
                if self._clock.monotonic() - started_s >= STABLE_AFTER_S:
                    self._backoff.succeeded()
                self._faults.log(error, f"processing camera {self.camera.id} failed")
                self._set_condition(_Condition("degraded", "internal error; see the agent's log", AGENT_FAULT))
                self._stopping.wait(self._backoff.failed())
            else:
                return

    def _run_once(self) -> None:
        """Run one pipeline until the worker is stopped or a recording has ended."""
        pipeline = self._build_pipeline()
        try:
            # A recording replaces a live camera here, so it plays at its own speed.
            settings = self.camera.stream.model_copy(update={"pace": True})
            self._opened_s = self._clock.monotonic()
            source = self._open_source(source_text(self.camera), settings=settings, clock=self._clock)
            try:
                self._read_all(source, pipeline)
            finally:
                source.close()
                self._latest = None
            pipeline.finish()
        finally:
            pipeline.close()
        if not self._stopping.is_set():
            self._set_condition(_Condition("offline", "the recording has ended"))

    def _read_all(self, source: FrameSource, pipeline: CameraPipeline) -> None:
        next_status_s = 0.0
        picture = PictureHealth(self.camera.picture_health)
        while not self._stopping.is_set():
            frame = source.read(READ_TIMEOUT_S)
            if frame is not None:
                pipeline.process(frame)
                self._latest, self._has_delivered = frame, True
                if picture.due(frame.time_s):
                    damaged_ratio = source.status().damaged_ratio
                    picture.observe(frame.picture.luma(), time_s=frame.time_s, damaged_ratio=damaged_ratio)
            elif source.ended:
                return
            now_s = self._clock.monotonic()
            is_first = frame is not None and self._awaits_first_frame
            if is_first or now_s >= next_status_s or frame is None:
                next_status_s = now_s + READ_TIMEOUT_S
                self._info, self._status = source.info(), source.status()
                self._set_condition(_condition(self._status, picture, self._info.resolution))
            if self.latest_frame is not None:
                # Set last: a reader that sees no frame must still see that the first one is awaited.
                self._awaits_first_frame = False

    def _set_condition(self, condition: _Condition) -> None:
        self._condition = condition
        if self._reported is not None and not condition.differs(self._reported):
            return
        # The source logs changes of its resolution.
        if self._reported is None or (condition.state, condition.cause) != (self._reported.state, self._reported.cause):
            level = logging.INFO if condition.state == "online" else logging.WARNING
            error = f": {condition.error}" if condition.error else ""
            logger.log(level, "camera %s is %s%s", self.camera.id, condition.state, error)
        self._reported = condition
        health = self.health()
        data = CameraStatusData(
            status=condition.state,
            error=condition.error,
            cause=condition.cause,
            fps_actual=health.fps_actual,
            resolution=health.resolution,
            codec=health.codec,
        )
        self._publish(self.builder.camera_status(data, at=self._clock.now()))


def _condition(status: SourceStatus, picture: PictureHealth, resolution: str | None) -> _Condition:
    """Combine the state of the source with that of its picture, which is valid only while frames arrive."""
    if status.state == "degraded":
        return _Condition("degraded", status.error, STALLED, resolution)
    if status.state == "online" and picture.fault is not None:
        return _Condition("degraded", picture.text, picture.fault, resolution)
    return _Condition(status.state, status.error, None, resolution)
