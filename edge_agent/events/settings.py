"""What a camera's owner may say about its events."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.geometry import Ratio
from shared.ids import Segment

PointSetting = tuple[Ratio, Ratio]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ZoneSettings(_Settings):
    """A named area. An object is in it while the middle of its box's lower edge is."""

    name: Segment = Field(description="Stands in the `zones` of events.")
    polygon: Annotated[list[PointSetting], Field(min_length=3, max_length=100)] = Field(
        description="Corners as [x, y], shares of the picture's size."
    )
    classes: list[str] = Field(default_factory=list, description="Only these classes count; empty means all.")
    loitering_s: float | None = Field(
        default=None, gt=0, description="Say `loitering` once an object has been inside for so long."
    )


class LineSettings(_Settings):
    """A named line; crossing it is told at once."""

    name: Segment = Field(description="Stands in `line_crossed` of events.")
    start: PointSetting = Field(description="One end as [x, y], shares of the picture's size.")
    end: PointSetting = Field(description="The other end.")
    direction: Literal["any", "right", "left"] = Field(
        default="any", description="Which way counts, looking from start to end: `right` is from its left to its right."
    )
    classes: list[str] = Field(default_factory=list, description="Only these classes count; empty means all.")


class EventSettings(_Settings):
    """When to speak, and when to hold one's tongue."""

    confirm_sightings: int = Field(
        default=5,
        ge=1,
        le=100,
        description="`entered` waits for so many sightings; more means later, and fewer false alarms.",
    )
    min_median_confidence: Ratio = Field(
        default=0.5,
        description="The median score of the latest sightings must reach this before `entered` is told.",
    )
    min_visit_s: float = Field(
        default=0.4, ge=0, le=60, description="Nothing that was there for less is ever told, whatever its score."
    )
    update_interval_s: float = Field(
        default=5.0, gt=0, description="`updated` at most so often per object, and not at all while it stands still."
    )
    return_s: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="An object that stood still when the detector lost it is given so long to be seen again in the "
        "same place before `left` is told.",
    )
    return_iou: Ratio = Field(default=0.4, description="How much the two boxes must overlap for that.")
    motion_quiet_s: float = Field(default=2.0, gt=0, description="A motion episode ends after so much quiet.")
    motion_cooldown_s: float = Field(
        default=5.0, ge=0, description="No new motion event sooner than this after the one before began."
    )
    detection_interval_s: float = Field(
        default=10.0, gt=0, description="Without tracking: tell an unchanged scene again at most so often."
    )
    zones: list[ZoneSettings] = Field(default_factory=list[ZoneSettings])
    required_zones: list[Segment] = Field(
        default_factory=list[Segment], description="Only objects that were in one of these raise events; empty: all."
    )
    lines: list[LineSettings] = Field(default_factory=list[LineSettings])
