"""What a client may send to the plate API, each parameter checked before anything else sees it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud_functions.api.events.requests import Plate, Segment, Time
from cloud_functions.api.http.cursor import TOKEN_LENGTH, Cursor, decode_cursor
from cloud_functions.db.plates.queries import PlateFilter
from cloud_functions.plates.site_key import is_token

MAX_LIMIT = 500
MAX_OFFSET = 100_000
MIN_FUZZY_LENGTH = 3

Region = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_-]+$")]


class PlateListParameters(BaseModel):
    """``GET /plates``: conditions, every one of which must hold, and a slice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plate: Plate | None = Field(
        default=None,
        description="The plate, or its beginning; case, accents, spaces, dots and hyphens do not matter, nor whether a"
        " letter that looks Latin is Cyrillic or Greek. Or the `plate_token` of one that is protected.",
        examples=["AB-123-CD"],
    )
    match: Literal["exact", "prefix", "fuzzy"] = Field(
        default="exact",
        description="How `plate` is compared: the whole plate, its beginning, or plates like it, the nearest first.",
    )
    max_distance: int = Field(
        default=2,
        ge=0,
        le=4,
        description="With `match=fuzzy`: at most so many characters put in, taken out or replaced; taking one for"
        " another of O/0/D/Q, I/1, B/8, S/5, Z/2, G/6 counts a quarter.",
    )
    region: Region | None = Field(default=None, description="Reads told to be of this region.", examples=["de"])
    camera_id: Segment | None = Field(default=None, description="Reads of this camera.", examples=["camera-1"])
    site_id: Segment | None = Field(default=None, description="Reads of this site.", examples=["hq"])
    start_time: Time | None = Field(
        default=None, description="Captured at or after this time (RFC 3339).", examples=["2026-11-20T00:00:00Z"]
    )
    end_time: Time | None = Field(
        default=None, description="Captured at or before this time (RFC 3339).", examples=["2026-11-20T23:59:59Z"]
    )
    limit: int = Field(default=50, ge=1, le=MAX_LIMIT, description="Reads at most.")
    offset: int = Field(
        default=0,
        ge=0,
        le=MAX_OFFSET,
        description="Step over so many reads. Not together with `cursor`, which costs the same however deep.",
    )
    cursor: str | None = Field(
        default=None,
        max_length=TOKEN_LENGTH,
        description="`next_cursor` of the page before: goes on right after it, unmoved by reads that arrive meanwhile.",
    )

    @model_validator(mode="after")
    def _check(self) -> PlateListParameters:
        if self.match != "exact" and self.plate is None:
            raise ValueError(f"match={self.match} wants a plate")
        if self.match != "exact" and self.plate is not None and is_token(self.plate):
            raise ValueError("a token is a whole plate: match=exact")
        if self.match == "fuzzy" and self.plate is not None and len(self.plate) < MIN_FUZZY_LENGTH:
            raise ValueError(f"plate must have at least {MIN_FUZZY_LENGTH} letters and digits for match=fuzzy")
        if self.start_time and self.end_time and self.start_time > self.end_time:
            raise ValueError("start_time is after end_time")
        if self.cursor is not None:
            if self.offset:
                raise ValueError("give offset or cursor, not both")
            try:
                decode_cursor(self.cursor)
            except ValueError as error:
                raise ValueError(f"cursor {error}") from None
        return self

    @property
    def after(self) -> Cursor | None:
        """The place to go on from, or None."""
        return None if self.cursor is None else decode_cursor(self.cursor)

    def plate_filter(self) -> PlateFilter:
        """Return the filter that the database side understands; a plate to be like is no part of it."""
        return PlateFilter(
            plate=self.plate if self.match == "exact" else None,
            prefix=self.plate if self.match == "prefix" else None,
            region=self.region,
            camera_id=self.camera_id,
            site_id=self.site_id,
            start=self.start_time,
            end=_just_after(self.end_time),
        )


class HistoryParameters(BaseModel):
    """``GET /plates/{text}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=20, ge=1, le=MAX_LIMIT, description="How many of its newest reads to give.")


def _just_after(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment + timedelta(microseconds=1)
