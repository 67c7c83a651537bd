"""Probes a source: whether it opens, the time to the first frame, and its stream properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import FrameSource, open_source
from edge_agent.types import Frame
from shared.clock import Clock, SystemClock
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
    opener: OpenSource = open_source,
) -> ProbeResult:
    """Open ``text`` and read up to ``frames`` frames. A source that does not work gives a result with ``error``.

    The first frame must arrive within the opening timeout plus the watchdog's time of the settings.
    """
    settings = settings or SourceSettings()
    clock = clock or SystemClock()
    started_s = clock.monotonic()
    try:
        source = opener(text, settings=settings, clock=clock)
    except VedetteError as error:
        return ProbeResult(source=redact_source(text), error=str(error))
    try:
        return _probe_source(source, settings=settings, clock=clock, started_s=started_s, frames=frames)
    finally:
        source.close()


def _probe_source(
    source: FrameSource, *, settings: SourceSettings, clock: Clock, started_s: float, frames: int
) -> ProbeResult:
    deadline_s = started_s + settings.open_timeout_s + settings.watchdog_s
    first = _first(source, clock=clock, deadline_s=deadline_s)
    if first is None:
        error = source.status().error or f"no picture within {deadline_s - started_s:g} s"
        return ProbeResult(source=source.info().source, error=error)
    first_at_s = clock.monotonic()
    count, last_s = 1, first.time_s
    while count < frames and clock.monotonic() < first_at_s + settings.watchdog_s and not source.ended:
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
