"""Settings of a camera's events: when tracks, motion and detections become events, zones, lines and their rules."""

from __future__ import annotations

import logging
from datetime import time
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from edge_agent.events.rule_types import DEFAULT_BAND_RATIO, MIN_BAND, Anchor
from shared.geometry import Ratio
from shared.ids import Segment
from shared.settings import Settings, duplicate_names, require_area

logger = logging.getLogger(__name__)

PointSetting = tuple[Ratio, Ratio]
ZonePolygon = Annotated[list[PointSetting], Field(min_length=3, max_length=100), AfterValidator(require_area)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

_SIGHTINGS_PER_S = 10.0


def _time_of_day(value: object) -> object:
    if not isinstance(value, str | time):
        raise ValueError('is no time of day; write it in quotes: "22:00"')  # noqa: TRY004 - pydantic's
    if value in ("24:00", "24:00:00"):
        raise ValueError('only the end of a day can be 24:00; write "00:00"')
    return value


def _end_of_day(value: object) -> object:
    return "00:00" if value in ("24:00", "24:00:00") else value


def _local_time(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("is a local time of the site (`timezone`); leave out the offset from UTC")
    return value


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            "is no time zone that this machine knows; give an IANA name such as Europe/Bucharest, and install the "
            "operating system's tzdata package if that is one"
        ) from None
    return name


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day), AfterValidator(_local_time)]
EndTime = Annotated[TimeOfDay, BeforeValidator(_end_of_day)]
"""A time of day at which something ends; 24:00 is the end of the day."""
Timezone = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_known_timezone)]


class WindowSettings(Settings):
    """A time of day, on some days of the week, in which a zone or a line counts."""

    days: list[Weekday] = Field(
        default_factory=list[Weekday], description="The days on which the window begins; empty means every day."
    )
    start: TimeOfDay = Field(default=time(0, 0), description="Local time at which it begins, `HH:MM`.")
    end: EndTime = Field(
        default=time(0, 0),
        description="Local time at which it ends, `HH:MM` up to `24:00`; at or before `start`, that of the next day.",
    )


class LoiteringSettings(Settings):
    """When an object that stays in a zone is loitering."""

    after_s: float = Field(
        gt=0, le=86_400, description="Seconds inside after which it is reported. Raise for patience."
    )
    again_after_s: float | None = Field(
        default=None, gt=0, le=86_400, description="Seconds until it is reported again; left out, once per stay."
    )
    grace_s: float = Field(
        default=2.0,
        ge=0,
        le=600,
        description="Seconds outside that do not end the stay; raising it bridges more of a detector's mistakes.",
    )


class OccupancySettings(Settings):
    """How many objects in a zone are too many, or too few."""

    over: int | None = Field(default=None, ge=0, le=10_000, description="Reported while more than so many are inside.")
    under: int | None = Field(
        default=None, ge=1, le=10_000, description="Reported while fewer than so many are inside."
    )
    debounce_s: float = Field(
        default=2.0, ge=0, le=3600, description="Seconds it must last; raising it ignores short changes."
    )
    cooldown_s: float = Field(
        default=60.0, ge=0, le=86_400, description="Seconds until the same is reported again; raising it reports less."
    )

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.over is None and self.under is None:
            raise ValueError("give over, under, or both")
        if self.over is not None and self.under is not None and self.under > self.over + 1:
            raise ValueError(f"under ({self.under}) and over ({self.over}) overlap: any number would be one of them")
        return self


class ZoneSettings(Settings):
    """A named area. An object is in it while its anchor is inside or on the edge."""

    name: Segment = Field(description="Named in the `zones` of events and in `rule` events.")
    polygon: ZonePolygon = Field(
        description="Corners as [x, y], shares of the picture's size. A zone that reaches the picture's edge goes on "
        "beyond it."
    )
    classes: list[str] = Field(default_factory=list[str], description="Only these classes count; empty means all.")
    anchor: Anchor = Field(
        default="bottom",
        description="Point of the box that must be inside: the middle of its lower edge, or its centre.",
    )
    enter_s: float = Field(
        default=0.3, ge=0, le=60, description="Seconds inside before it has entered; raising it ignores short visits."
    )
    exit_s: float = Field(
        default=1.0, ge=0, le=600, description="Seconds outside before it has left; raising it bridges excursions."
    )
    exit_ratio: float = Field(
        default=0.15,
        ge=0,
        le=10,
        description="It has left at once when it is farther outside than this share of its box's height.",
    )
    loitering: LoiteringSettings | None = Field(default=None, description="Report objects that stay too long.")
    loitering_s: float | None = Field(
        default=None, gt=0, le=86_400, description="Short for `loitering = { after_s = … }`."
    )
    occupancy: OccupancySettings | None = Field(default=None, description="Report too many or too few objects.")
    schedule: list[WindowSettings] = Field(
        default_factory=list[WindowSettings], description="When the zone counts; empty means always."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.loitering is not None and self.loitering_s is not None:
            raise ValueError(f"zone {self.name}: give loitering or loitering_s, not both")
        return self


class LineSettings(Settings):
    """A named line; an object that crosses it is counted and reported."""

    name: Segment = Field(description="Named in `line_crossed` of events and in `rule` events.")
    points: Annotated[list[PointSetting], Field(max_length=50)] = Field(
        default_factory=list[PointSetting],
        description="Two or more points as [x, y], shares of the picture's size, in order.",
    )
    start: PointSetting | None = Field(default=None, description="For a straight line, instead of `points`: one end.")
    end: PointSetting | None = Field(default=None, description="The other end.")
    direction: Literal["any", "right", "left"] = Field(
        default="any",
        description="Which way counts, looking along the line from its first point to its last: `right` is from its "
        "left to its right.",
    )
    classes: list[str] = Field(default_factory=list[str], description="Only these classes count; empty means all.")
    anchor: Anchor = Field(
        default="bottom", description="Point of the box that must cross: the middle of its lower edge, or its centre."
    )
    band_ratio: float = Field(
        default=DEFAULT_BAND_RATIO,
        ge=0,
        le=5,
        description="Half width of the dead band in which an object is on neither side, as a share of its box's height "
        f"(at least {MIN_BAND:g} of the picture's height; 0: no band). Raising it tolerates more jitter.",
    )
    settle_s: float = Field(
        default=0.2,
        ge=0,
        le=60,
        description="Seconds beyond the dead band before an object is on the other side, 0.2 less where it is twice "
        "the band away; raising it ignores longer jumps of its box, and who comes back sooner than that.",
    )
    schedule: list[WindowSettings] = Field(
        default_factory=list[WindowSettings], description="When crossings count; empty means always."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if bool(self.points) == (self.start is not None or self.end is not None):
            raise ValueError(f"line {self.name}: give either points, or start and end")
        corners = self.corners
        if len(corners) < 2:
            raise ValueError(f"line {self.name}: a line needs two points or more")
        if any(first == second for first, second in pairwise(corners)):
            raise ValueError(f"line {self.name}: two points in a row are the same, so there is no line between them")
        return self

    @property
    def corners(self) -> list[PointSetting]:
        """All points in order, however they were given."""
        return list(self.points) or [point for point in (self.start, self.end) if point is not None]


class EventSettings(Settings):
    """Thresholds and intervals that control when events are emitted."""

    confirm_s: float = Field(
        default=0.4,
        ge=0,
        le=60,
        description="Seconds between an object's first and latest detection before `entered` is emitted, whatever the "
        "frame rate. Raising it means later events and fewer false alarms. Up to 1 s, an object that crosses a "
        "quarter of the picture sooner does not wait.",
    )
    min_median_confidence: Ratio = Field(
        default=0.5,
        description="The median score of the latest detections must reach this before `entered` is emitted.",
    )
    update_interval_s: float = Field(
        default=5.0, gt=0, description="`updated` at most so often per object, and not at all while it stands still."
    )
    return_s: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="An object that stood still when the detector lost it is given so long to be seen again in the "
        "same place before `left` is emitted.",
    )
    return_iou: Ratio = Field(default=0.4, description="How much the two boxes must overlap for that.")
    motion_quiet_s: float = Field(default=2.0, gt=0, description="A motion episode ends after so much quiet.")
    motion_cooldown_s: float = Field(
        default=5.0, ge=0, description="No new motion event sooner than this after the one before began."
    )
    detection_interval_s: float = Field(
        default=10.0, gt=0, description="Without tracking: emit an unchanged scene again at most so often."
    )
    timezone: Timezone | None = Field(
        default=None,
        description="IANA name of the time zone of schedules and counters; left out, the file's `timezone`.",
    )
    counters_reset_at: list[TimeOfDay] = Field(
        default_factory=list[TimeOfDay],
        max_length=24,
        description="Local times, `HH:MM`, at which the counts of all lines start again; empty: never.",
    )
    zones: list[ZoneSettings] = Field(default_factory=list[ZoneSettings])
    required_zones: list[Segment] = Field(
        default_factory=list[Segment], description="Only objects that were in one of these raise events; empty: all."
    )
    lines: list[LineSettings] = Field(default_factory=list[LineSettings])

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, data: Any) -> Any:
        """Accept, for one release, the settings that ``confirm_s`` replaces."""
        if not isinstance(data, dict):
            return data
        given = dict(cast("dict[str, Any]", data))
        old = {name: given.pop(name) for name in ("confirm_sightings", "min_visit_s") if name in given}
        for name, value in old.items():
            logger.warning("events.%s is replaced by events.confirm_s and will be refused in the next release", name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} is replaced by confirm_s, a number of seconds")  # noqa: TRY004 - pydantic's
        if old and "confirm_s" not in given:
            # At ten frames a second, so many detections took so long.
            sightings_s = (old.get("confirm_sightings", 1) - 1) / _SIGHTINGS_PER_S
            given["confirm_s"] = max(sightings_s, old.get("min_visit_s", 0.0))
        return given

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for kind, names in (
            ("zones", [zone.name for zone in self.zones]),
            ("lines", [line.name for line in self.lines]),
        ):
            if alike := duplicate_names(names):
                raise ValueError(f"two {kind} are called {alike}; give each a name of its own")
        return self
