"""The plate of one vehicle over many frames: its readings, the best snapshots and its direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from edge_agent.anpr.aggregation.direction import DirectionEstimator
from edge_agent.anpr.aggregation.formats import GROUPS, PlateRules, matching_regions
from edge_agent.anpr.aggregation.recent_plates import RecentPlate
from edge_agent.anpr.aggregation.vote import Candidate, PlateVote, VoteResult
from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.types import PlateReading
from edge_agent.boxes import Box, box_iou
from edge_agent.events.occurrences import TrackedObject
from edge_agent.types import Frame

MAX_SNAPSHOTS = 3
SAME_PLACE_IOU = 0.85
SAME_PLACE_WEIGHT = 0.3
"""Weight factor of a reading taken where the previous one was: it repeats the same view and the same errors."""
EXPECTED_FORMAT_WEIGHT = 4.0
"""How much likelier a text is if it has a format of the configured regions."""
APPEARANCE_WEIGHTS: Mapping[str, float] = MappingProxyType({"br": 4.0, "gb": 3.0, "eu": 2.0, "us": 1.4})
"""How much likelier a text is if it has a format of the region that the plate looks like. Higher for regions where
few plates lack a known format and few misreadings match another one."""
MAX_DIRECTION_WAIT_S = 1.0
"""How long a settled vote waits for the vehicle's direction, in seconds."""

MAX_IMPLAUSIBLE_READS = 3
"""A stationary plate without a plausible reading is not read again after this many attempts, until it moves."""
FRAME_SEARCH_S = 3.0
"""How long a new, stationary plate without a vehicle is searched for in the whole frame, in seconds."""


@dataclass(frozen=True, slots=True)
class PlateSnapshot:
    """A frame in which a plate was read."""

    frame: Frame
    plate: Box
    vehicle: Box | None
    quality: float
    """0..1, of the plate's crop."""


@dataclass(slots=True)
class PlateTrack:
    """The plate of one vehicle, or a plate without a vehicle if none was detected around it."""

    track_uid: str
    direction: DirectionEstimator
    first_seen_s: float
    last_seen_s: float
    plate: Box
    """Box of the latest detection."""
    vehicle_id: int | None = None
    vote: PlateVote = field(default_factory=PlateVote)
    snapshots: dict[str, PlateSnapshot] = field(default_factory=dict[str, PlateSnapshot])
    """Text to the best snapshot in which it was read."""
    class_weights: dict[str, float] = field(default_factory=dict[str, float])
    region_weights: dict[str, float] = field(default_factory=dict[str, float])
    """Region by appearance to the sum of the weights of its readings."""
    settled_s: float | None = None
    emitted: RecentPlate | None = None
    """The emitted plate, or the earlier one that this track repeats. No further readings are taken."""
    last_read_box: Box | None = None
    first_read_s: float | None = None
    implausible_reads: int = 0
    """Number of readings that cannot be a plate's text."""

    def observe(self, frame: Frame, plate: Box, vehicle: TrackedObject | None) -> None:
        """Add the plate's box in a frame."""
        self.plate, self.last_seen_s = plate, frame.time_s
        if self.emitted is not None:
            self.emitted.plate, self.emitted.seen_s = plate, max(frame.time_s, self.emitted.seen_s)
        self.direction.add_plate_box(plate)
        if vehicle is not None:
            self.class_weights[vehicle.class_name] = self.class_weights.get(vehicle.class_name, 0.0) + vehicle.score

    def add_reading(self, reading: PlateReading, snapshot: PlateSnapshot) -> None:
        """Add a plausible reading to the vote."""
        same_place = self.last_read_box is not None and box_iou(self.last_read_box, snapshot.plate) >= SAME_PLACE_IOU
        weight = snapshot.quality * (SAME_PLACE_WEIGHT if same_place else 1.0)
        self.last_read_box = snapshot.plate
        if self.first_read_s is None:
            self.first_read_s = snapshot.frame.time_s
        self.vote.add(reading, weight=weight)
        if reading.region:
            self.region_weights[reading.region] = self.region_weights.get(reading.region, 0.0) + weight
        self._add_snapshot(reading.text, snapshot)

    @property
    def is_read(self) -> bool:
        """Whether no further readings are needed."""
        return self.emitted is not None or self.settled_s is not None

    @property
    def is_complete(self) -> bool:
        """Whether no further searches are needed: emitted, or settled and known to have moved."""
        return self.emitted is not None or (self.settled_s is not None and self.direction.plate_moved)

    @property
    def is_unreadable(self) -> bool:
        """Whether a stationary plate has no plausible reading after several attempts: a sticker, a sign, dirt."""
        if self.vote.reads or self.direction.plate_moved:
            return False
        return self.implausible_reads >= MAX_IMPLAUSIBLE_READS

    def needs_frame_search(self, now_s: float) -> bool:
        """Return whether only searches of the whole frame detect this plate again."""
        if self.vehicle_id is not None or self.is_complete or self.is_unreadable:
            return False
        return self.direction.plate_moved or now_s - self.first_seen_s < FRAME_SEARCH_S

    def close(self, emitted: RecentPlate) -> None:
        """Mark the track as emitted and release its frames."""
        self.emitted = emitted
        self.snapshots.clear()

    def merge(self, other: PlateTrack) -> None:
        """Add the data of another track of the same plate."""
        self.vote.merge(other.vote)
        for text, snapshot in other.snapshots.items():
            self._add_snapshot(text, snapshot)
        for mine, theirs in ((self.region_weights, other.region_weights), (self.class_weights, other.class_weights)):
            for key, weight in theirs.items():
                mine[key] = mine.get(key, 0.0) + weight
        self.direction.prepend(other.direction)
        self.first_seen_s = min(self.first_seen_s, other.first_seen_s)
        self.last_seen_s = max(self.last_seen_s, other.last_seen_s)
        self.emitted = self.emitted or other.emitted

    @property
    def appearance_region(self) -> str | None:
        """The region that the plate looks like, by weighted majority of the readings; None if none was recognised."""
        return max(self.region_weights, key=lambda region: self.region_weights[region], default=None)

    @property
    def vehicle_class(self) -> str | None:
        """The vehicle's class, weighted by the detection scores; None without a vehicle."""
        return max(self.class_weights, key=lambda name: self.class_weights[name], default=None)

    @property
    def is_vehicle_plate(self) -> bool:
        """Whether the plate moved, or is on a vehicle that is stationary too.

        False for a sign, which is stationary and on no vehicle or behind a moving one.
        """
        if self.direction.plate_moved:
            return True
        return self.vehicle_id is not None and not self.direction.vehicle_moved

    def best_snapshot(self, text: str) -> PlateSnapshot | None:
        """Return the best snapshot in which ``text`` was read, otherwise the best of all."""
        best = max(self.snapshots.values(), key=lambda each: each.quality, default=None)
        return self.snapshots.get(text, best)

    def update_settled(self, settings: AnprSettings, now_s: float) -> bool:
        """Return whether the vote is settled, and record when it became so."""
        result = self.vote.result()
        first_s = self.first_read_s if self.first_read_s is not None else now_s
        enough = result.weight >= settings.settle_weight or now_s - first_s >= settings.settle_s
        settled = enough and result.reads >= settings.settle_reads and result.confidence >= settings.settle_confidence
        if not settled:
            self.settled_s = None
        elif self.settled_s is None:
            self.settled_s = now_s
        return settled

    def is_ready(self, now_s: float, *, width: int, height: int) -> bool:
        """Return whether the vote is settled, and the direction is known or the wait for it is over.

        ``width``, ``height``: of the frame, in pixels.
        """
        if self.settled_s is None or not self.is_vehicle_plate:
            return False
        return now_s - self.settled_s >= MAX_DIRECTION_WAIT_S or self.direction.is_known(width=width, height=height)

    def _add_snapshot(self, text: str, snapshot: PlateSnapshot) -> None:
        known = self.snapshots.get(text)
        if known is None or snapshot.quality > known.quality:
            self.snapshots[text] = snapshot
        if len(self.snapshots) > MAX_SNAPSHOTS:
            del self.snapshots[min(self.snapshots, key=lambda each: self.snapshots[each].quality)]


def choose_text(result: VoteResult, rules: PlateRules, *, appearance: str | None) -> Candidate | None:
    """Return the likeliest plausible candidate; None if there is none.

    Candidates with a format of the configured regions count more. Without configured regions, those with a format of
    the region that the plate looks like (``appearance``) do. The returned confidence redistributes the total of the
    plausible candidates and never exceeds it.
    """
    plausible = [each for each in result.candidates if rules.plausible(each.text, appearance=appearance)]
    weights = {each.text: each.confidence * _format_weight(each.text, rules, appearance) for each in plausible}
    best = max(plausible, key=lambda each: weights[each.text], default=None)
    if best is None:
        return None
    total = sum(each.confidence for each in plausible)
    return Candidate(best.text, total * weights[best.text] / max(sum(weights.values()), 1e-9))


def _format_weight(text: str, rules: PlateRules, appearance: str | None) -> float:
    if rules.expected:
        return EXPECTED_FORMAT_WEIGHT if rules.fits_expected(text) else 1.0
    group = GROUPS.get(appearance) if appearance else None
    return APPEARANCE_WEIGHTS[appearance] if appearance and group and matching_regions(text) & group else 1.0
