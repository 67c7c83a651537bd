"""Settings of number plate recognition."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.geometry import Ratio
from shared.plates import MAX_PLATE_LENGTH
from shared.settings import PointSetting, Settings

EngineName = Literal["vedette", "rapidocr", "fast-plate-ocr"]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}$")]


class DirectionSettings(Settings):
    """How the `direction` of an `anpr` event is determined."""

    by: Literal["size", "line", "none"] = Field(
        default="size",
        description="`size`: a vehicle whose size in the image grows is approaching, one whose size shrinks is "
        "receding; the direction is null if the size does not clearly change (parked, or crossing the view). `line`: "
        "which way the plate moves across the line from `start` to `end`, even if it does not reach the line. `none`: "
        "always null.",
    )
    approaching: str = Field(
        default="approaching",
        min_length=1,
        max_length=40,
        description="Value of `direction` for an approaching vehicle, with `size`.",
    )
    receding: str = Field(
        default="receding",
        min_length=1,
        max_length=40,
        description="Value of `direction` for a receding vehicle, with `size`.",
    )
    start: PointSetting = Field(
        default=(0.0, 0.5), description="Start of the line as [x, y], as fractions of the image's width and height."
    )
    end: PointSetting = Field(
        default=(1.0, 0.5), description="End of the line as [x, y], as fractions of the image's width and height."
    )
    to_right: str = Field(
        default="in",
        min_length=1,
        max_length=40,
        description="Value of `direction` for movement from the left of the line to its right, seen from `start` "
        "towards `end`.",
    )
    to_left: str = Field(
        default="out",
        min_length=1,
        max_length=40,
        description="Value of `direction` for movement from the right of the line to its left.",
    )

    @model_validator(mode="after")
    def _check_line(self) -> Self:
        if self.start == self.end:
            raise ValueError("start and end are the same point; set two different points")
        return self


class PlateRuleSettings(Settings):
    """Which texts are accepted as plates."""

    regions: list[Region] = Field(
        default_factory=list[Region],
        description="Expected regions of vehicles, such as `de`, `us`, `br`, or `eu` for all of Europe. Their formats "
        "are preferred for uncertain readings, and plates of letters alone are accepted if one of them issues such "
        "plates. Empty: any region.",
    )
    only_these_regions: bool = Field(
        default=False, description="Reject texts that match no known format of `regions`. Requires `regions`."
    )
    min_length: int = Field(
        default=4,
        ge=1,
        le=MAX_PLATE_LENGTH,
        description="Minimum number of characters. Raising it rejects more fragments and signs, and short plates.",
    )
    max_length: int = Field(
        default=9,
        ge=1,
        le=MAX_PLATE_LENGTH,
        description="Maximum number of characters. Raising it accepts longer texts, such as lettering.",
    )
    max_repeat: int = Field(
        default=4,
        ge=1,
        le=MAX_PLATE_LENGTH,
        description="Maximum number of identical characters in a row. Raising it accepts more misread patterns.",
    )
    ignore: list[str] = Field(
        default_factory=list[str],
        description="Texts that are never reported as plates, such as a sign in the image or a company name.",
    )

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length ({self.min_length}) must not be above max_length ({self.max_length})")
        if self.only_these_regions and not self.regions:
            raise ValueError("only_these_regions needs regions")
        return self


class AnprSettings(Settings):
    """Number plate recognition: detection, reading, and the vote over all readings of a vehicle."""

    enabled: bool = Field(
        default=False, description="Read number plates and emit an `anpr` event for each vehicle that passes."
    )
    engine: EngineName = Field(
        default="vedette",
        description="Plate reader. `vedette` is included; `rapidocr` and `fast-plate-ocr` are optional extras.",
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Threads per model. Raising it shortens the time per frame and uses more processor cores.",
    )
    search: Literal["auto", "vehicles", "frame"] = Field(
        default="auto",
        description="Where plates are searched for. `vehicles`: in the boxes of tracked vehicles. `frame`: in the "
        "whole frame, for a dedicated plate camera. `auto`: in the boxes of vehicles and other moving objects, and at "
        "intervals in the whole frame; in the whole frame only, if the detector does not distinguish vehicles.",
    )
    vehicle_classes: list[str] = Field(
        default_factory=lambda: ["car", "truck", "bus", "van", "motorcycle", "motorbike", "vehicle"],
        description="Object classes that carry plates.",
    )
    search_interval_s: float = Field(
        default=0.1,
        ge=0,
        le=60,
        description="Minimum time between two searches of one vehicle (with `frame`: of the whole frame), in seconds. "
        "Raising it saves processor time and yields fewer readings per vehicle.",
    )
    frame_interval_s: float = Field(
        default=0.25,
        ge=0,
        le=60,
        description="With `auto`: time between two searches of the whole frame while something moves, in seconds; "
        "`search_interval_s` applies while a plate without a vehicle is tracked and not yet read. Raising it saves "
        "processor time and may miss plates of vehicles that were not detected.",
    )
    standing_interval_s: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="Maximum time between two searches of a stationary vehicle whose vote is not settled, in seconds. "
        "Raising it saves processor time while vehicles wait.",
    )
    max_searches: int = Field(
        default=2,
        ge=1,
        le=20,
        description="Maximum number of searches per frame. Raising it covers more vehicles at once and takes longer.",
    )
    max_reads: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Maximum number of plates read per frame. Raising it reads more vehicles at once and takes longer.",
    )
    budget_ms: float = Field(
        default=80.0,
        gt=0,
        description="Time budget per frame of a live camera, in milliseconds. No further search or reading is started "
        "after it. Raising it reads more plates per frame and may delay other work.",
    )
    min_glyph_px: float = Field(
        default=8.0,
        ge=1,
        description="Minimum height of characters that are read, in pixels. Raising it drops distant plates and "
        "reduces misreadings.",
    )
    min_sharpness: Ratio = Field(
        default=0.08,
        description="Minimum sharpness of crops that are read; 0 reads all. Raising it skips more blurred plates.",
    )
    min_detection_score: Ratio = Field(
        default=0.4,
        description="Minimum score of plate detections. Raising it drops more signs and stickers, and faint plates.",
    )
    min_reads: int = Field(
        default=2,
        ge=1,
        le=100,
        description="Minimum number of readings for emitting an event. Raising it reduces wrong texts and misses fast "
        "vehicles.",
    )
    min_confidence: Ratio = Field(
        default=0.65,
        description="Minimum vote confidence for emitting an event. Raising it reduces wrong texts and drops "
        "plates that are hard to read.",
    )
    settle_reads: int = Field(
        default=4,
        ge=1,
        le=100,
        description="Minimum number of readings before a vote is settled. Raising it emits later, with more certainty.",
    )
    settle_weight: float = Field(
        default=3.0,
        ge=0,
        le=40,
        description="Sum of the readings' weights (0..1 each by quality; less for a stationary plate) from which a "
        "vote can settle before `settle_s`. Raising it emits later, with more certainty.",
    )
    settle_s: float = Field(
        default=1.5,
        ge=0,
        le=600,
        description="Time after the first reading from which a vote can settle without reaching `settle_weight`, in "
        "seconds. Raising it emits later, with more certainty.",
    )
    settle_confidence: Ratio = Field(
        default=0.95,
        description="Minimum confidence of a settled vote. Raising it takes more readings and emits later.",
    )
    lost_s: float = Field(
        default=2.0,
        gt=0,
        le=600,
        description="Time without a detection after which a plate without a vehicle has left, in seconds. Raising it "
        "tolerates longer gaps and emits later.",
    )
    repeat_s: float = Field(
        default=30.0,
        ge=0,
        le=86400,
        description="Time after the last detection of a plate in which the same text is not emitted again, in seconds. "
        "Raising it suppresses more repetitions.",
    )
    color: bool = Field(
        default=True, description="Report the vehicle's colour if the image is bright enough to determine it."
    )
    rules: PlateRuleSettings = Field(default_factory=PlateRuleSettings)
    direction: DirectionSettings = Field(default_factory=DirectionSettings)
