"""What a camera's owner may say about number plates."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.geometry import Ratio
from shared.plates import MAX_PLATE_LENGTH
from shared.settings import Settings

EngineName = Literal["vedette", "rapidocr", "fast-plate-ocr"]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
PointSetting = tuple[Ratio, Ratio]


class DirectionSettings(Settings):
    """What ``direction`` of a passage means on this camera."""

    by: Literal["size", "line", "none"] = Field(
        default="size",
        description="`size`: a vehicle that grows in the picture approaches, one that shrinks recedes, and one whose "
        "size does not certainly change has no direction (null): parked, or crossing from side to side; `line`: which "
        "way the plate moves across the line from `start` to `end`, whether it reaches it or not; `none`: always null.",
    )
    approaching: str = Field(
        default="approaching", min_length=1, max_length=40, description="Told of who comes nearer."
    )
    receding: str = Field(default="receding", min_length=1, max_length=40, description="Told of who goes away.")
    start: PointSetting = Field(default=(0.0, 0.5), description="One end of the line as [x, y], shares of the picture.")
    end: PointSetting = Field(default=(1.0, 0.5), description="The other end.")
    to_right: str = Field(
        default="in",
        min_length=1,
        max_length=40,
        description="Told of who moves from the line's left to its right, looking from `start` to `end`.",
    )
    to_left: str = Field(default="out", min_length=1, max_length=40, description="Told of who moves the other way.")

    @model_validator(mode="after")
    def _a_line(self) -> Self:
        if self.start == self.end:
            raise ValueError("start and end are one point; a line needs two")
        return self


class PlateRuleSettings(Settings):
    """What counts as a plate's text, so that a badge or a shop sign does not."""

    regions: list[Region] = Field(
        default_factory=list[Region],
        description="Where vehicles come from, as `de`, `us`, `br` … or `eu`; their formats are preferred where a "
        "reading is in doubt, and all-letter plates are only believed where one of them has such. Empty: anywhere.",
    )
    only_these_regions: bool = Field(default=False, description="Drop what fits no known format of `regions`.")
    min_length: int = Field(default=4, ge=1, le=MAX_PLATE_LENGTH, description="Shorter texts are no plates.")
    max_length: int = Field(default=9, ge=1, le=MAX_PLATE_LENGTH, description="Longer texts are no plates.")
    max_repeat: int = Field(
        default=4, ge=1, le=MAX_PLATE_LENGTH, description="So often may one character follow itself."
    )
    ignore: list[str] = Field(
        default_factory=list[str], description="Texts that are no plates here: a sign in the picture, a company's name."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length ({self.min_length}) must not be above max_length ({self.max_length})")
        if self.only_these_regions and not self.regions:
            raise ValueError("only_these_regions needs regions")
        return self


class AnprSettings(Settings):
    """Number plates: found, read and voted over each vehicle's passage."""

    enabled: bool = Field(default=False, description="Read number plates and send an `anpr` event for each passage.")
    engine: EngineName = Field(
        default="vedette", description="What reads; `vedette` ships with the agent, the others are extras to install."
    )
    threads: int = Field(default=1, ge=1, le=16, description="Threads each model may use.")
    search: Literal["auto", "vehicles", "frame"] = Field(
        default="auto",
        description="Where plates are looked for. `vehicles`: in tracked vehicles' boxes; `frame`: in the whole "
        "picture, for a dedicated plate camera; `auto`: in vehicles and whatever else moves and now and then "
        "in the whole picture; where no model tells vehicles, in the whole picture alone.",
    )
    vehicle_classes: list[str] = Field(
        default_factory=lambda: ["car", "truck", "bus", "van", "motorcycle", "motorbike", "vehicle"],
        description="Classes that carry plates.",
    )
    search_interval_s: float = Field(
        default=0.1,
        ge=0,
        le=60,
        description="Look at one vehicle (or the whole picture, with `frame`) at most so often.",
    )
    frame_interval_s: float = Field(
        default=0.25,
        ge=0,
        le=60,
        description="With `auto`, look at the whole picture so often while something moves; every `search_interval_s` "
        "while a plate is followed there that is not yet known.",
    )
    standing_interval_s: float = Field(
        default=5.0, gt=0, le=3600, description="At the most, look so rarely at a standing vehicle whose vote is open."
    )
    max_searches: int = Field(default=2, ge=1, le=20, description="Searches in one frame at most.")
    max_reads: int = Field(default=3, ge=1, le=20, description="Plates read in one frame at most.")
    budget_ms: float = Field(
        default=80.0, gt=0, description="On a live camera, start nothing more in a frame once so much time has gone."
    )
    min_glyph_px: float = Field(
        default=8.0, ge=1, description="Characters less tall are not read. Lower reads farther, and wrongly more often."
    )
    min_sharpness: Ratio = Field(
        default=0.08, description="Blurred plates are not read; 0 reads everything, 1 nothing."
    )
    min_detection_score: Ratio = Field(default=0.4, description="The detector must be so sure that it is a plate.")
    min_reads: int = Field(default=2, ge=1, le=100, description="A passage with fewer readings is not told.")
    min_confidence: Ratio = Field(default=0.65, description="A passage whose vote is less sure is not told.")
    settle_reads: int = Field(default=4, ge=1, le=100, description="The vote settles after so many readings at least,")
    settle_weight: float = Field(
        default=3.0,
        ge=0,
        le=40,
        description="once their qualities (0..1; little for a plate that has not stirred) add up to so much, or …",
    )
    settle_s: float = Field(default=1.5, ge=0, le=600, description="… the first of them is so long ago, and …")
    settle_confidence: Ratio = Field(
        default=0.95, description="… it is so sure; raising any of these reads longer and tells later."
    )
    lost_s: float = Field(default=2.0, gt=0, le=600, description="A plate not seen for so long has passed.")
    repeat_s: float = Field(
        default=30.0,
        ge=0,
        le=86400,
        description="The same plate is not told again within so long of its last sighting.",
    )
    color: bool = Field(default=True, description="Tell the vehicle's colour where daylight lets it be told.")
    rules: PlateRuleSettings = Field(default_factory=PlateRuleSettings)
    direction: DirectionSettings = Field(default_factory=DirectionSettings)
