"""Plays scripted tracks to a track lifecycle and collects what it emits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge_agent.events.occurrences import RuleOccurrence, TrackingOccurrence
from edge_agent.events.rules.stationary import Stationarity
from edge_agent.events.rules.track_lifecycle import TrackLifecycle
from edge_agent.events.settings import EventSettings
from edge_agent.types import Tracks
from shared.zones import LineSettings, ZoneSettings
from tests.support.edge.builders import FPS, Box, frame, tracks

LABELS = ("person", "car")
WHOLE = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
YARD = ZoneSettings.model_validate({"name": "yard", "polygon": WHOLE, "loitering_s": 2.0})
GATE = LineSettings(name="gate", start=(0.4, 1.0), end=(0.4, 0.0))


def lifecycle_of(settings: EventSettings | None = None) -> TrackLifecycle:
    """Return a new lifecycle with these settings."""
    return TrackLifecycle(
        settings=settings or EventSettings(), labels=LABELS, uid_prefix="camera-1-run", stationarity=Stationarity()
    )


def walking(step: int, *, start_x: float = 10.0, speed_px: float = 4.0) -> Box:
    """Return the box of a person who walks to the right, at one frame."""
    left = start_x + step * speed_px
    return (left, 60.0, left + 30.0, 120.0)


def play_all(
    lifecycle: TrackLifecycle, script: Iterable[Tracks], *, fps: float = FPS
) -> list[TrackingOccurrence | RuleOccurrence]:
    """Return all occurrences of a script, one item per frame."""
    occurrences: list[TrackingOccurrence | RuleOccurrence] = []
    for number, state in enumerate(script, 1):
        occurrences += lifecycle.observe(frame(number, fps=fps), state)
    return occurrences


def play(lifecycle: TrackLifecycle, script: Iterable[Tracks], *, fps: float = FPS) -> list[TrackingOccurrence]:
    """Return the tracking occurrences of a script, one item per frame."""
    return [each for each in play_all(lifecycle, script, fps=fps) if isinstance(each, TrackingOccurrence)]


def names_of(occurrences: Iterable[TrackingOccurrence | RuleOccurrence]) -> list[str]:
    """Return the action or the rule of each occurrence."""
    return [each.action if isinstance(each, TrackingOccurrence) else each.transition.rule for each in occurrences]


def actions_of(emitted: Sequence[TrackingOccurrence]) -> list[str]:
    """Return the action of each occurrence."""
    return [each.action for each in emitted]


def walk(frames: int, track_id: int = 1, **fields: float) -> list[Tracks]:
    """Return a script of so many frames in which a person walks to the right."""
    return [tracks([(track_id, walking(step))], **fields) for step in range(frames)]
