"""What the rules found worth telling, before it becomes a wire event: still pixels, still holding its frame."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from edge_agent.events.rules.observation import Transition
from edge_agent.events.rules.path import PathPoint
from edge_agent.images.annotate import BoxLabel
from edge_agent.types import Boxes, Frame, Motion

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""
Action = Literal["entered", "updated", "left"]


@dataclass(frozen=True, slots=True)
class TrackObservation:
    """One object in one frame, with everything else that was to be seen in that frame."""

    frame: Frame
    xyxy: Box
    score: float
    quality: float
    """How good a portrait this is; only comparable within one track."""
    labels: tuple[BoxLabel, ...]
    """The boxes to draw on the frame: this object's first, then those of others that have been told."""


@dataclass(frozen=True, slots=True)
class TrackingOccurrence:
    """A step in an object's visit."""

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
    """With the frames' own times, on ``left``."""
    first_seen_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RuleOccurrence:
    """Something that happened under a rule."""

    transition: Transition
    frame: Frame
    labels: tuple[BoxLabel, ...]
    """The boxes to draw: the object's own first, where it belongs to one."""
    since_at: datetime | None = None
    crossed_at: datetime | None = None
    track_id: int | None = None
    track_uid: str | None = None
    class_name: str | None = None
    xyxy: Box | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class MotionOccurrence:
    """An episode of motion begins (``duration_s`` is None) or has ended."""

    frame: Frame
    motion: Motion
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class DetectionOccurrence:
    """What one frame shows, on a camera without tracking."""

    frame: Frame
    labels: tuple[BoxLabel, ...]


@dataclass(frozen=True, slots=True)
class TrackedObject:
    """One object that was seen in a frame, by the names that its events bear."""

    track_id: int
    track_uid: str
    class_name: str
    xyxy: Box
    score: float


@dataclass(frozen=True, slots=True)
class PlateText:
    """One text that a plate may have."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class AnprOccurrence:
    """A vehicle has passed, or is passing, whose plate could be read."""

    frame: Frame
    """The best picture of the plate."""
    plate: Box
    candidates: tuple[PlateText, ...]
    """The likeliest first, which is the one told; at least one."""
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
    """From the best picture's capture until it was told"""


Occurrence = TrackingOccurrence | RuleOccurrence | MotionOccurrence | DetectionOccurrence | AnprOccurrence


def iou(first: Box, second: Box) -> float:
    """Return intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    inside = width * height
    return inside / (box_area(first) + box_area(second) - inside)


def box_area(box: Box) -> float:
    """Return a box's area in square pixels."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def as_box(row: Boxes) -> Box:
    """Return one row of a box array as plain floats."""
    left, top, right, bottom = row.tolist()
    return left, top, right, bottom
