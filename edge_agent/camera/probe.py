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
    """What was found. Either ``error`` says why there was no picture, or the rest says what came."""

    source: str
    """Credentials masked."""
    latency_ms: float | None = None
    """From asking to the first picture, connecting included."""
    resolution: str | None = None
    codec: str | None = None
    fps: float | None = None
    """Nominal, as the stream announces it."""
    fps_measured: float | None = None
    """Of live sources, over the few frames that were read."""
    frames: int = 0
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


class OpenSource(Protocol):
    """``open_source``, or a stand-in."""

    def __call__(self, text: str, *, settings: SourceSettings, clock: Clock) -> FrameSource: ...


def probe(
    text: str,
    settings: SourceSettings | None = None,
    *,
    clock: Clock | None = None,
    frames: int = FRAMES,
    opener: OpenSource = open_source,
) -> ProbeResult:
    """Open ``text``, read up to ``frames`` frames and say what came. Never raises for a source that does not work.

    Gives up when the first picture has not come within the settings' opening timeout plus the watchdog's time.
    """
    settings = settings or SourceSettings()
    clock = clock or SystemClock()
    began_s = clock.monotonic()
    try:
        source = opener(text, settings=settings, clock=clock)
    except VedetteError as error:
        return ProbeResult(source=redact_source(text), error=str(error))
    try:
        return _probe_source(source, settings=settings, clock=clock, began_s=began_s, frames=frames)
    finally:
        source.close()


def _probe_source(
    source: FrameSource, *, settings: SourceSettings, clock: Clock, began_s: float, frames: int
) -> ProbeResult:
    deadline_s = began_s + settings.open_timeout_s + settings.watchdog_s
    first = _first(source, clock=clock, deadline_s=deadline_s)
    if first is None:
        error = source.status().error or f"no picture came within {deadline_s - began_s:g} s"
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
        latency_ms=(first_at_s - began_s) * 1000,
        resolution=info.resolution,
        codec=info.codec,
        fps=info.fps,
        fps_measured=(count - 1) / live_s if live_s > 0 else None,
        frames=count,
    )


def _first(source: FrameSource, *, clock: Clock, deadline_s: float) -> Frame | None:
    """Wait for the first picture; give up early once a live source says that it cannot connect."""
    while not source.ended and clock.monotonic() < deadline_s:
        if (frame := source.read(_STEP_S)) is not None:
            return frame
        if source.live and source.status().state == "offline" and source.status().error is not None:
            return None
    return None
