"""Request models of the plates API: each validates its parameters before a route uses them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud_functions.api.http.list_parameters import CursorParameter, TimeRangeParameters
from cloud_functions.api.http.parameters import Plate, Segment
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.plates.queries import PlateFilter
from cloud_functions.plates.site_key import is_token

MAX_LIMIT = 500
MAX_OFFSET = 100_000
MIN_FUZZY_LENGTH = 3

Region = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_-]+$")]


class PlateListParameters(CursorParameter, TimeRangeParameters):
    """Parameters of ``GET /plates``: conditions, all of which must be met, and a page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plate: Plate | None = Field(
        default=None,
        description="The plate, or its beginning (see `match`). Case, accents, spaces, dots and hyphens are ignored."
        " Cyrillic and Greek letters that look like Latin letters equal them. Alternatively the `plate_token` of a"
        " protected plate.",
        examples=["AB-123-CD"],
    )
    match: Literal["exact", "prefix", "fuzzy"] = Field(
        default="exact",
        description="How `plate` is compared: with the whole plate (`exact`), with its beginning (`prefix`), or by"
        " edit distance, nearest plates first (`fuzzy`).",
    )
    max_distance: int = Field(
        default=2,
        ge=0,
        le=4,
        description="Maximum edit distance with `match=fuzzy`: insertions, deletions and replacements. Replacing a"
        " character by a similar one (O/0/D/Q, I/1, B/8, S/5, Z/2, G/6) counts as a quarter. A higher value finds more"
        " plates.",
    )
    region: Region | None = Field(default=None, description="Only reads of this plate region.", examples=["de"])
    camera_id: Segment | None = Field(default=None, description="Only reads of this camera.", examples=["camera-1"])
    site_id: Segment | None = Field(default=None, description="Only reads of this site.", examples=["hq"])
    limit: int = Field(default=50, ge=1, le=MAX_LIMIT, description="Maximum number of reads.")
    offset: int = Field(
        default=0,
        ge=0,
        le=MAX_OFFSET,
        description="Number of reads to skip. Cannot be combined with `cursor`, which is equally fast at any depth.",
    )

    @model_validator(mode="after")
    def _check(self) -> PlateListParameters:
        if self.match != "exact" and self.plate is None:
            raise ValueError(f"match={self.match} requires plate")
        if self.match != "exact" and self.plate is not None and is_token(self.plate):
            raise ValueError("a plate token requires match=exact")
        if self.match == "fuzzy" and self.plate is not None and len(self.plate) < MIN_FUZZY_LENGTH:
            raise ValueError(f"plate must have at least {MIN_FUZZY_LENGTH} letters and digits for match=fuzzy")
        return self

    def check_cursor(self) -> None:
        if self.cursor is not None and self.offset:
            raise ValueError("give offset or cursor, not both")
        super().check_cursor()

    def plate_filter(self, *, scope: CameraScope | None) -> PlateFilter:
        """Return the conditions within the caller's limit to camera groups, without the plate of a fuzzy search."""
        return PlateFilter(
            scope=scope,
            plate=self.plate if self.match == "exact" else None,
            prefix=self.plate if self.match == "prefix" else None,
            region=self.region,
            camera_id=self.camera_id,
            site_id=self.site_id,
            start=self.start_time,
            end=self.exclusive_end,
        )


class HistoryParameters(BaseModel):
    """Parameters of ``GET /plates/{text}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=20, ge=1, le=MAX_LIMIT, description="Maximum number of newest reads.")
