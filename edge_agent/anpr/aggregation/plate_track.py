"""One vehicle's passage as far as its plate is concerned: readings, the best pictures, which way it went."""

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
from edge_agent.events.occurrences import Box, TrackedObject, iou
from edge_agent.types import Frame

MAX_SNAPSHOTS = 3
SAME_PLACE_IOU = 0.85
SAME_PLACE_WORTH = 0.3
"""What another reading of a plate that has not stirred is worth: it sees what the last one saw."""
EXPECTED_WORTH = 4.0
"""How much likelier a text is for having a format of the regions that were named."""
LOOKS_WORTH: Mapping[str, float] = MappingProxyType({"br": 4.0, "gb": 3.0, "eu": 2.0, "us": 1.4})
"""The same for a format of the region that the plate's looks tell: the more, the fewer plates there go without one of
the known formats, and the fewer misreadings fall into another."""
DIRECTION_PATIENCE_S = 1.0
"""How long a settled vote waits to see which way its vehicle goes."""

HOPELESS_AFTER = 3
"""So many looks at what does not stir and shows nothing that a plate can have, and it is let be until it moves."""
FOLLOWED_S = 3.0
"""How long a plate on no vehicle is watched closely to see whether it moves."""


@dataclass(frozen=True, slots=True)
class PlateSnapshot:
    """A plate in a frame, as it was read there."""

    frame: Frame
    plate: Box
    vehicle: Box | None
    quality: float


@dataclass(slots=True)
class Passage:
    """Carried by a vehicle, or by the plate alone where no vehicle was found around it."""

    track_uid: str
    heading: DirectionEstimator
    first_seen_s: float
    last_seen_s: float
    plate: Box
    """Where the plate was last seen."""
    vehicle_id: int | None = None
    vote: PlateVote = field(default_factory=PlateVote)
    portraits: dict[str, PlateSnapshot] = field(default_factory=dict[str, PlateSnapshot])
    """The best picture of each of the likeliest texts."""
    classes: dict[str, float] = field(default_factory=dict[str, float])
    looks: dict[str, float] = field(default_factory=dict[str, float])
    settled_s: float | None = None
    told: RecentPlate | None = None
    """What it was told as, or found to have been told as before; nothing more is read."""
    read_at: Box | None = None
    """Where it was when it was read last."""
    first_read_s: float | None = None
    doubts: int = 0
    """Readings that no plate can have."""

    def see(self, frame: Frame, plate: Box, vehicle: TrackedObject | None) -> None:
        """Take the plate's place in a frame."""
        self.plate, self.last_seen_s = plate, frame.time_s
        if self.told is not None:
            self.told.plate, self.told.seen_s = plate, max(frame.time_s, self.told.seen_s)
        self.heading.add_plate_box(plate)
        if vehicle is not None:
            self.classes[vehicle.class_name] = self.classes.get(vehicle.class_name, 0.0) + vehicle.score

    def read(self, reading: PlateReading, portrait: PlateSnapshot) -> None:
        """Count a plausible reading."""
        same_place = self.read_at is not None and iou(self.read_at, portrait.plate) >= SAME_PLACE_IOU
        weight = portrait.quality * (SAME_PLACE_WORTH if same_place else 1.0)
        self.read_at = portrait.plate
        if self.first_read_s is None:
            self.first_read_s = portrait.frame.time_s
        self.vote.add(reading, weight=weight)
        if reading.region:
            self.looks[reading.region] = self.looks.get(reading.region, 0.0) + weight
        self._keep(reading.text, portrait)

    @property
    def is_known(self) -> bool:
        """Whether there is nothing more to read."""
        return self.told is not None or self.settled_s is not None

    @property
    def is_done(self) -> bool:
        """Whether it need not even be looked at: it is told, or will be, for it is known to have moved."""
        return self.told is not None or (self.settled_s is not None and self.heading.plate_moved)

    @property
    def is_hopeless(self) -> bool:
        """Whether it is no plate, or none that can be read from here: a sticker, a sign, a plate full of mud."""
        return self.doubts >= HOPELESS_AFTER and not self.vote.reads and not self.heading.plate_moved

    def is_followed_alone(self, now_s: float) -> bool:
        """Whether only looking at the whole picture keeps it in sight; not so a sign, after a while."""
        if self.vehicle_id is not None or self.is_done or self.is_hopeless:
            return False
        return self.heading.plate_moved or now_s - self.first_seen_s < FOLLOWED_S

    def close(self, told: RecentPlate) -> None:
        """Note what it was told as, and let its pictures go."""
        self.told = told
        self.portraits.clear()

    def absorb(self, other: Passage) -> None:
        """Take over a passage that turned out to be this one."""
        self.vote.absorb(other.vote)
        for text, portrait in other.portraits.items():
            self._keep(text, portrait)
        for mine, theirs in ((self.looks, other.looks), (self.classes, other.classes)):
            for key, weight in theirs.items():
                mine[key] = mine.get(key, 0.0) + weight
        self.heading.prepend(other.heading)
        self.first_seen_s = min(self.first_seen_s, other.first_seen_s)
        self.last_seen_s = max(self.last_seen_s, other.last_seen_s)
        self.told = self.told or other.told

    @property
    def region_by_looks(self) -> str | None:
        """What most readings took the plate's looks for."""
        return max(self.looks, key=lambda region: self.looks[region], default=None)

    @property
    def vehicle_class(self) -> str | None:
        return max(self.classes, key=lambda name: self.classes[name], default=None)

    @property
    def is_a_passage(self) -> bool:
        """False for what stood still while everything else moved: a sign, or a plate nobody was seen to bring."""
        if self.heading.plate_moved:
            return True
        return self.vehicle_id is not None and not self.heading.vehicle_moved

    def portrait_of(self, text: str) -> PlateSnapshot | None:
        """Return the best picture in which ``text`` was read, else the best of all."""
        best = max(self.portraits.values(), key=lambda each: each.quality, default=None)
        return self.portraits.get(text, best)

    def settles(self, settings: AnprSettings, now_s: float) -> bool:
        """Say whether the vote is clear, and note when it became so."""
        verdict = self.vote.verdict()
        first_s = self.first_read_s if self.first_read_s is not None else now_s
        enough = verdict.weight >= settings.settle_weight or now_s - first_s >= settings.settle_s
        clear = enough and verdict.reads >= settings.settle_reads and verdict.confidence >= settings.settle_confidence
        if not clear:
            self.settled_s = None
        elif self.settled_s is None:
            self.settled_s = now_s
        return clear

    def ready(self, now_s: float, *, width: int, height: int) -> bool:
        """Say whether a settled passage need wait no longer for its direction."""
        if self.settled_s is None or not self.is_a_passage:
            return False
        return now_s - self.settled_s >= DIRECTION_PATIENCE_S or self.heading.is_known(width=width, height=height)

    def _keep(self, text: str, portrait: PlateSnapshot) -> None:
        known = self.portraits.get(text)
        if known is None or portrait.quality > known.quality:
            self.portraits[text] = portrait
        if len(self.portraits) > MAX_SNAPSHOTS:
            del self.portraits[min(self.portraits, key=lambda each: self.portraits[each].quality)]


def choose(verdict: VoteResult, rules: PlateRules, *, looks: str | None) -> Candidate | None:
    """Return the likeliest text that a plate can have; those with a format of the regions expected count for more,
    else those with one of the region that the plate's looks tell.

    Its confidence is what the candidates have together, shared out anew: never more than the vote gave all of them.
    """
    possible = [each for each in verdict.candidates if rules.plausible(each.text, looks=looks)]
    worth = {each.text: each.confidence * _format_worth(each.text, rules, looks) for each in possible}
    best = max(possible, key=lambda each: worth[each.text], default=None)
    if best is None:
        return None
    together = sum(each.confidence for each in possible)
    return Candidate(best.text, together * worth[best.text] / max(sum(worth.values()), 1e-9))


def _format_worth(text: str, rules: PlateRules, looks: str | None) -> float:
    if rules.expected:
        return EXPECTED_WORTH if rules.fits_expected(text) else 1.0
    group = GROUPS.get(looks) if looks else None
    return LOOKS_WORTH[looks] if looks and group and matching_regions(text) & group else 1.0
