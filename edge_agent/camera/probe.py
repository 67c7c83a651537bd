"""Probes a source: whether it opens, the time to the first frame, and its stream properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import FrameSource, open_source
from edge_agent.types import Frame
from shared.clock import Clock, SystemClock
from shared.commands import ConnectionFailure
from shared.errors import VedetteError
from shared.stream_address import redact_source

FRAMES = 5
_STEP_S = 0.25


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of a probe: either ``error``, or the properties of the stream."""

    source: str
    """Credentials masked."""
    latency_ms: float | None = None
    """Milliseconds from opening the source to its first frame, including the connection."""
    resolution: str | None = None
    codec: str | None = None
    fps: float | None = None
    """Nominal frame rate, as declared by the stream."""
    fps_measured: float | None = None
    """Measured frame rate of a live source, over the frames that were read."""
    frames: int = 0
    error: str | None = None
    cause: ConnectionFailure | None = None
    """Kind of ``error``."""

    @property
    def ok(self) -> bool:
        return self.error is None


class OpenSource(Protocol):
    """The signature of ``open_source``."""

    def __call__(self, text: str, *, settings: SourceSettings, clock: Clock) -> FrameSource: ...


def probe(
    text: str,
    settings: SourceSettings | None = None,
    *,
    clock: Clock | None = None,
    frames: int = FRAMES,
    timeout_s: float | None = None,
    opener: OpenSource = open_source,
) -> ProbeResult:
    """Open ``text`` and read up to ``frames`` frames. A source that does not work gives a result with ``error``.

    The first frame must arrive within ``timeout_s``: by default, the opening timeout plus the watchdog's time of the
    settings. Frames that arrive later are not read.
    """
    settings = settings or SourceSettings()
    clock = clock or SystemClock()
    timeout_s = settings.open_timeout_s + settings.watchdog_s if timeout_s is None else timeout_s
    settings = settings.model_copy(update={"open_timeout_s": min(settings.open_timeout_s, timeout_s)})
    started_s = clock.monotonic()
    try:
        source = opener(text, settings=settings, clock=clock)
    except VedetteError as error:
        return ProbeResult(source=redact_source(text), error=str(error), cause=getattr(error, "cause", "failed"))
    try:
        deadline_s = started_s + timeout_s
        return _probe_source(source, clock=clock, started_s=started_s, deadline_s=deadline_s, frames=frames)
    finally:
        source.close()


def _probe_source(
    source: FrameSource, *, clock: Clock, started_s: float, deadline_s: float, frames: int
) -> ProbeResult:
    first = _first(source, clock=clock, deadline_s=deadline_s)
    if first is None:
        status = source.status()
        if status.error is not None:
            return ProbeResult(source=source.info().source, error=status.error, cause=status.cause or "failed")
        error = f"no picture within {deadline_s - started_s:g} s"
        return ProbeResult(source=source.info().source, error=error, cause="timed_out")
    first_at_s = clock.monotonic()
    count, last_s = 1, first.time_s
    while count < frames and clock.monotonic() < deadline_s and not source.ended:
        frame = source.read(_STEP_S)
        if frame is not None:
            count, last_s = count + 1, frame.time_s
    info = source.info()
    live_s = last_s - first.time_s if source.live else 0.0
    return ProbeResult(
        source=info.source,
        latency_ms=(first_at_s - started_s) * 1000,
        resolution=info.resolution,
        codec=info.codec,
        fps=info.fps,
        fps_measured=(count - 1) / live_s if live_s > 0 else None,
        frames=count,
    )


def _first(source: FrameSource, *, clock: Clock, deadline_s: float) -> Frame | None:
    """Wait for the first frame; return None at the deadline, or once a live source has failed to connect."""
    while not source.ended and clock.monotonic() < deadline_s:
        if (frame := source.read(_STEP_S)) is not None:
            return frame
        if source.live and source.status().state == "offline" and source.status().error is not None:
            return None
    return None
