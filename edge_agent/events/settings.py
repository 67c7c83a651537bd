"""Settings of events: thresholds and intervals, zones, lines, schedules and the rules that apply to them."""

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
from shared.settings import PointSetting, Settings, duplicate_names, require_area

logger = logging.getLogger(__name__)

ZonePolygon = Annotated[list[PointSetting], Field(min_length=3, max_length=100), AfterValidator(require_area)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

_DETECTIONS_PER_S = 10.0
"""Detection rate that the deprecated ``confirm_sightings`` assumed."""


def _time_of_day(value: object) -> object:
    if not isinstance(value, str | time):
        raise ValueError('is not a time of day; write it in quotes: "22:00"')  # noqa: TRY004 - pydantic's
    if value in ("24:00", "24:00:00"):
        raise ValueError('24:00 is valid only as an end; write "00:00"')
    return value


def _end_of_day(value: object) -> object:
    return "00:00" if value in ("24:00", "24:00:00") else value


def _local_time(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("must be a local time of the site (`timezone`) without a UTC offset")
    return value


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            "is not a time zone known to this machine; use an IANA name such as Europe/Bucharest, and install the "
            "operating system's tzdata package if the name is correct"
        ) from None
    return name


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day), AfterValidator(_local_time)]
EndTime = Annotated[TimeOfDay, BeforeValidator(_end_of_day)]
"""Time of day at which a window ends; 24:00 means the end of the day."""
Timezone = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_known_timezone)]


class WindowSettings(Settings):
    """A daily time window in which a zone or a line is active."""

    days: list[Weekday] = Field(
        default_factory=list[Weekday], description="Days on which the window starts. Empty: every day."
    )
    start: TimeOfDay = Field(default=time(0, 0), description="Local start time, `HH:MM`.")
    end: EndTime = Field(
        default=time(0, 0),
        description="Local end time, `HH:MM` up to `24:00`. An end at or before `start` is on the next day.",
    )


class LoiteringSettings(Settings):
    """Reports of objects that stay in a zone for a long time."""

    after_s: float = Field(
        gt=0,
        le=86_400,
        description="Seconds in the zone before an object is reported. Raising it reports fewer objects.",
    )
    again_after_s: float | None = Field(
        default=None,
        gt=0,
        le=86_400,
        description="Seconds between repeated reports of one stay. Raising it reports less. Left out: one report per "
        "stay.",
    )
    grace_s: float = Field(
        default=2.0,
        ge=0,
        le=600,
        description="Seconds outside the zone that do not end the stay. Raising it tolerates more detector errors.",
    )


class OccupancySettings(Settings):
    """Reports of too many or too few objects in a zone."""

    over: int | None = Field(
        default=None, ge=0, le=10_000, description="Report when more than this number of objects are in the zone."
    )
    under: int | None = Field(
        default=None, ge=1, le=10_000, description="Report when fewer than this number of objects are in the zone."
    )
    debounce_s: float = Field(
        default=2.0,
        ge=0,
        le=3600,
        description="Seconds the condition must last before it is reported. Raising it ignores short changes.",
    )
    cooldown_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="Minimum seconds between two reports of the same condition. Raising it reports less.",
    )

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.over is None and self.under is None:
            raise ValueError("set over, under, or both")
        if self.over is not None and self.under is not None and self.under > self.over + 1:
            raise ValueError(f"under ({self.under}) and over ({self.over}) overlap; set under to over + 1 or less")
        return self


class ZoneSettings(Settings):
    """A named area of the picture. An object is in the zone while its anchor is inside it or on its edge."""

    name: Segment = Field(description="Name of the zone in the `zones` of events and in `rule` events.")
    polygon: ZonePolygon = Field(
        description="Corners as [x, y], in shares of the picture's width and height. A zone that reaches the "
        "picture's edge continues beyond it."
    )
    classes: list[str] = Field(default_factory=list[str], description="Classes the rule applies to. Empty: all.")
    anchor: Anchor = Field(
        default="bottom",
        description="Point of the box that must be in the zone: the middle of its lower edge, or its centre.",
    )
    enter_s: float = Field(
        default=0.3,
        ge=0,
        le=60,
        description="Seconds inside before an object has entered. Raising it ignores short stays.",
    )
    exit_s: float = Field(
        default=1.0,
        ge=0,
        le=600,
        description="Seconds outside before an object has left. Raising it ignores longer absences.",
    )
    exit_ratio: float = Field(
        default=0.15,
        ge=0,
        le=10,
        description="Distance from the zone, as a share of the height of the object's box, beyond which an object has "
        "left at once. Raising it makes `exit_s` apply to larger distances.",
    )
    loitering: LoiteringSettings | None = Field(
        default=None, description="Report objects that stay in the zone for a long time."
    )
    loitering_s: float | None = Field(
        default=None, gt=0, le=86_400, description="Short form of `loitering = { after_s = … }`."
    )
    occupancy: OccupancySettings | None = Field(
        default=None, description="Report too many or too few objects in the zone."
    )
    schedule: list[WindowSettings] = Field(
        default_factory=list[WindowSettings], description="Times at which the zone is active. Empty: always."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.loitering is not None and self.loitering_s is not None:
            raise ValueError(f"zone {self.name}: set loitering or loitering_s, not both")
        return self


class LineSettings(Settings):
    """A named line. Each object that crosses it is counted and reported."""

    name: Segment = Field(description="Name of the line in `line_crossed` of events and in `rule` events.")
    points: Annotated[list[PointSetting], Field(max_length=50)] = Field(
        default_factory=list[PointSetting],
        description="Two or more points as [x, y], in shares of the picture's width and height, in order.",
    )
    start: PointSetting | None = Field(default=None, description="First point of a straight line, instead of `points`.")
    end: PointSetting | None = Field(default=None, description="Second point of a straight line.")
    direction: Literal["any", "right", "left"] = Field(
        default="any",
        description="Direction of crossings to report, seen along the line from its first point to its last: `right` "
        "is from the left side to the right side.",
    )
    classes: list[str] = Field(default_factory=list[str], description="Classes the rule applies to. Empty: all.")
    anchor: Anchor = Field(
        default="bottom",
        description="Point of the box that must cross the line: the middle of its lower edge, or its centre.",
    )
    band_ratio: float = Field(
        default=DEFAULT_BAND_RATIO,
        ge=0,
        le=5,
        description="Half width of the dead band around the line, as a share of the height of the object's box (at "
        f"least {MIN_BAND:g} of the picture's height; 0: no band). In the band an object is on neither side. Raising "
        "it tolerates more jitter of the box.",
    )
    settle_s: float = Field(
        default=0.2,
        ge=0,
        le=60,
        description="Seconds beyond the dead band before an object is on the other side; 0.2 s less at twice the "
        "distance of the band. Raising it ignores longer jumps of the box, and objects that return within this time.",
    )
    schedule: list[WindowSettings] = Field(
        default_factory=list[WindowSettings], description="Times at which the line is active. Empty: always."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if bool(self.points) == (self.start is not None or self.end is not None):
            raise ValueError(f"line {self.name}: set either points, or start and end")
        corners = self.corners
        if len(corners) < 2:
            raise ValueError(f"line {self.name}: a line needs at least two points")
        if any(first == second for first, second in pairwise(corners)):
            raise ValueError(f"line {self.name}: two consecutive points are the same; remove one of them")
        return self

    @property
    def corners(self) -> list[PointSetting]:
        """All points in order, from ``points`` or from ``start`` and ``end``."""
        return list(self.points) or [point for point in (self.start, self.end) if point is not None]


class EventSettings(Settings):
    """Thresholds and intervals that control when events are emitted."""

    confirm_s: float = Field(
        default=0.4,
        ge=0,
        le=60,
        description="Seconds between an object's first and latest detection before `entered` is emitted, at any frame "
        "rate. Raising it emits events later and gives fewer false alarms. Up to 1 s, an object that crosses a "
        "quarter of the picture in less time is emitted at once.",
    )
    min_median_confidence: Ratio = Field(
        default=0.5,
        description="Minimum median score of the latest detections before `entered` is emitted. Raising it gives fewer "
        "false alarms and misses more objects.",
    )
    update_interval_s: float = Field(
        default=5.0,
        gt=0,
        description="Minimum seconds between two `updated` events of one object; none are emitted while it is "
        "stationary. Raising it emits fewer events.",
    )
    return_s: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="Seconds to wait for a stationary object that is no longer detected before `left` is emitted. "
        "Raising it tolerates longer gaps in detection and emits `left` later.",
    )
    return_iou: Ratio = Field(
        default=0.4,
        description="Minimum IoU between the last box of such an object and a new box for the track to continue. "
        "Raising it starts a new track more often.",
    )
    motion_quiet_s: float = Field(
        default=2.0, gt=0, description="Seconds without motion that end a motion episode. Raising it joins episodes."
    )
    motion_cooldown_s: float = Field(
        default=5.0,
        ge=0,
        description="Minimum seconds between the starts of two reported motion episodes. Raising it reports fewer.",
    )
    detection_interval_s: float = Field(
        default=10.0,
        gt=0,
        description="Without tracking: minimum seconds between two `detection` events of an unchanged scene. Raising "
        "it emits fewer events.",
    )
    timezone: Timezone | None = Field(
        default=None,
        description="IANA name of the time zone of schedules and counter resets. Left out: the `timezone` of the file.",
    )
    counters_reset_at: list[TimeOfDay] = Field(
        default_factory=list[TimeOfDay],
        max_length=24,
        description="Local times, `HH:MM`, at which the counts of all lines are reset to zero. Empty: never.",
    )
    zones: list[ZoneSettings] = Field(default_factory=list[ZoneSettings])
    required_zones: list[Segment] = Field(
        default_factory=list[Segment],
        description="Zones that an object must have been in before its events are emitted. Empty: no restriction.",
    )
    lines: list[LineSettings] = Field(default_factory=list[LineSettings])

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, data: Any) -> Any:
        """Accept the settings that ``confirm_s`` replaces, for one release."""
        if not isinstance(data, dict):
            return data
        given = dict(cast("dict[str, Any]", data))
        old = {name: given.pop(name) for name in ("confirm_sightings", "min_visit_s") if name in given}
        for name, value in old.items():
            logger.warning("events.%s is replaced by events.confirm_s and will be removed in the next release", name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} is replaced by confirm_s, a number of seconds")  # noqa: TRY004 - pydantic's
        if old and "confirm_s" not in given:
            detections_s = (old.get("confirm_sightings", 1) - 1) / _DETECTIONS_PER_S
            given["confirm_s"] = max(detections_s, old.get("min_visit_s", 0.0))
        return given

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for kind, names in (
            ("zones", [zone.name for zone in self.zones]),
            ("lines", [line.name for line in self.lines]),
        ):
            if alike := duplicate_names(names):
                raise ValueError(f"two {kind} have the name {alike}; names must be unique")
        return self
