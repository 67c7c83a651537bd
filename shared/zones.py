"""Settings of zones, lines and their schedules: what the API edits and the rules of the edge agent obey."""

from __future__ import annotations

from datetime import time
from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from shared.ids import Segment
from shared.settings import PointSetting, Settings, require_area

Anchor = Literal["bottom", "center"]
"""Point of a box that represents the object: the middle of its lower edge, or its centre."""
DEFAULT_BAND_RATIO: Final = 0.1
"""Half width of a line's dead band, as a fraction of the height of the object's box."""
MIN_BAND: Final = 0.01
"""Minimum half width of a line's dead band, in picture heights."""
ZonePolygon = Annotated[list[PointSetting], Field(min_length=3, max_length=100), AfterValidator(require_area)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


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


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day), AfterValidator(_local_time)]
EndTime = Annotated[TimeOfDay, BeforeValidator(_end_of_day)]
"""Time of day at which a window ends; 24:00 means the end of the day."""


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
        description="Seconds between repeated reports of one stay. Raising it reports less often. If omitted, one "
        "report per stay.",
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
        description="Minimum seconds between two reports of the same condition. Raising it reports less often.",
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
        description="Corners as [x, y], as fractions of the picture's width and height. A zone that reaches the "
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
        description="Distance from the zone, as a fraction of the height of the object's box, beyond which an object "
        "has left at once. Raising it makes `exit_s` apply to larger distances.",
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
        description="Two or more points as [x, y], as fractions of the picture's width and height, in order.",
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
        description="Half width of the dead band around the line, as a fraction of the height of the object's box (at "
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
