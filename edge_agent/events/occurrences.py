"""Occurrences: the reports of the rules, in pixels and with the frame, before it becomes a wire event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from edge_agent.boxes import Box
from edge_agent.events.rule_types import PathPoint, Transition
from edge_agent.images.annotate import BoxLabel
from edge_agent.types import Boxes, Frame, Motion

Action = Literal["entered", "updated", "left"]


@dataclass(frozen=True, slots=True)
class TrackObservation:
    """One detection of a tracked object, with its frame."""

    frame: Frame
    xyxy: Box
    score: float
    quality: float
    """Quality as a snapshot of the object. Comparable only within one track."""
    labels: tuple[BoxLabel, ...]
    """Boxes to draw on the frame: this object first, then the other announced objects."""


@dataclass(frozen=True, slots=True)
class TrackingOccurrence:
    """A tracked object has entered, has been updated, or has left."""

    action: Action
    track_id: int
    track_uid: str
    class_name: str
    observation: TrackObservation
    first_seen_at: datetime
    last_seen_at: datetime
    dwell_s: float | None
    zones: tuple[str, ...] = ()
    stationary: bool = False
    loitering: bool = False
    line_crossed: str | None = None
    path: tuple[PathPoint, ...] = ()
    """Set on ``left``; times are those of the frames."""
    first_seen_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RuleOccurrence:
    """A rule has produced a transition."""

    transition: Transition
    frame: Frame
    labels: tuple[BoxLabel, ...]
    """Boxes to draw: the object's own box first, where the transition concerns one object."""
    since_at: datetime | None = None
    crossed_at: datetime | None = None
    track_id: int | None = None
    track_uid: str | None = None
    class_name: str | None = None
    xyxy: Box | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class MotionOccurrence:
    """A motion episode has begun (``duration_s`` is None) or has ended."""

    frame: Frame
    motion: Motion
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class DetectionOccurrence:
    """The objects in one frame, for a camera without tracking."""

    frame: Frame
    labels: tuple[BoxLabel, ...]


@dataclass(frozen=True, slots=True)
class TrackedObject:
    """One object in a frame, with the ids that its events carry."""

    track_id: int
    track_uid: str
    class_name: str
    xyxy: Box
    score: float


@dataclass(frozen=True, slots=True)
class PlateText:
    """One candidate text of a plate, with its confidence (0..1)."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class AnprOccurrence:
    """The plate of a vehicle has been read."""

    frame: Frame
    """Frame with the best view of the plate."""
    plate: Box
    candidates: tuple[PlateText, ...]
    """At least one, highest confidence first; the first is the reported text."""
    reads: int
    quality: float
    track_uid: str
    track_id: int | None = None
    vehicle: Box | None = None
    vehicle_type: str | None = None
    color: str | None = None
    region: str | None = None
    direction: str | None = None
    latency_s: float = 0.0
    """Time from the capture of ``frame`` until the plate was reported."""


Occurrence = TrackingOccurrence | RuleOccurrence | MotionOccurrence | DetectionOccurrence | AnprOccurrence


def as_box(row: Boxes) -> Box:
    """Return one row of a box array as plain floats."""
    left, top, right, bottom = row.tolist()
    return left, top, right, bottom
