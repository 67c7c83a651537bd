"""One object's stay in front of one camera, from the first sighting to the last."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from edge_agent.events.areas import Footing, Step
from edge_agent.events.occurrences import Action, Box, Sighting, TrackingOccurrence, box_area, iou
from edge_agent.types import ViewChange

PUT_IOU = 0.4
PUT_S = 3.0
"""Something that overlapped its first place so much for so long is furniture, parked, or asleep."""


@dataclass(slots=True)
class Visit:
    """What the rules remember of one object. Two frames are held at most: the latest and the best."""

    track_id: int
    track_uid: str
    class_name: str
    first_seen_at: datetime
    first_seen_s: float
    first_xyxy: Box
    last: Sighting
    place: Box
    """Where it was last seen, in pixels of the present view."""
    scores: deque[float]
    best: Sighting | None = None
    """The best portrait since the last event."""
    footing: Footing = field(default_factory=Footing)
    zones: tuple[str, ...] = ()
    sightings: int = 0
    announced: bool = False
    told_at_s: float = 0.0
    told_xyxy: Box | None = None
    """Where it was when it was last told."""
    stationary: bool = False
    stayed_put: bool = True
    """Whether it has been where it was first seen all along."""
    lost_at_s: float | None = None
    """When the tracker gave it up, while it is waited for."""

    @property
    def may_be_there_still(self) -> bool:
        """Whether losing sight of it is more likely the detector's fault than its own: it did not move."""
        return self.stationary or (self.stayed_put and self.seen_for_s >= PUT_S)

    @property
    def median_score(self) -> float:
        return median(self.scores)

    @property
    def seen_for_s(self) -> float:
        """Seconds between the first and the last sighting."""
        return max(self.last.frame.time_s - self.first_seen_s, 0.0)

    def moved_on(self, same_place_iou: float) -> bool:
        """Say whether it is somewhere else, or of another size, than when it was last told."""
        return self.told_xyxy is None or iou(self.told_xyxy, self.place) < same_place_iou

    def see(self, sighting: Sighting, class_name: str, step: Step, *, stationary: bool, portrait_age_s: float) -> None:
        """Add one sighting. A portrait older than ``portrait_age_s`` gives way, so that events keep near their time."""
        self.last = sighting
        self.place = sighting.xyxy
        self.class_name = class_name
        self.scores.append(sighting.score)
        self.sightings += 1
        self.zones = step.zones
        self.stationary = stationary
        self.lost_at_s = None
        self.stayed_put = self.stayed_put and iou(self.first_xyxy, sighting.xyxy) >= PUT_IOU
        best = self.best
        stale = best is not None and sighting.frame.time_s - best.frame.time_s > portrait_age_s
        if best is None or stale or sighting.quality > best.quality:
            self.best = sighting

    def move_view(self, change: ViewChange) -> None:
        """Move the remembered places to where they lie now; what has been seen stays with the frame it was seen in."""
        self.place, self.first_xyxy = change.box(self.place), change.box(self.first_xyxy)
        if self.told_xyxy is not None:
            self.told_xyxy = change.box(self.told_xyxy)

    def tell(self, action: Action, *, line_crossed: str | None = None) -> TrackingOccurrence:
        """Make the event of this moment; the portrait starts afresh, so that the next event shows something new."""
        portrait = self.best or self.last
        self.best = None
        self.told_at_s = self.last.frame.time_s
        self.told_xyxy = self.place
        return TrackingOccurrence(
            action=action,
            track_id=self.track_id,
            track_uid=self.track_uid,
            class_name=self.class_name,
            sighting=portrait,
            first_seen_at=self.first_seen_at,
            last_seen_at=self.last.frame.timestamp,
            dwell_s=None if action == "entered" else self.seen_for_s,
            zones=self.zones,
            stationary=self.stationary,
            loitering=bool(self.footing.loitering_in),
            line_crossed=line_crossed,
        )


def portrait_quality(sighting_box: Box, score: float, *, width: int, height: int) -> float:
    """Say how good a portrait of an object a frame makes: sure, large, and not cut by the picture's edge.

    The area counts by its square root, so that a slightly larger but doubtful box does not win.
    """
    left, top, right, bottom = sighting_box
    margin_px = 0.005 * max(width, height)
    cut = left <= margin_px or top <= margin_px or right >= width - margin_px or bottom >= height - margin_px
    return score * (box_area(sighting_box) / (width * height)) ** 0.5 * (0.5 if cut else 1.0)
