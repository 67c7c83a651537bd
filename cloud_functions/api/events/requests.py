"""What a client may send to the events API, each parameter checked before anything else sees it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cloud_functions.api.http.cursor import TOKEN_LENGTH, Cursor, decode_cursor
from cloud_functions.api.http.problems import invalid_parameter
from cloud_functions.db.events.filter import EventFilter
from cloud_functions.plates.site_key import is_token
from shared.event_types import EventType
from shared.ids import SEGMENT_PATTERN
from shared.plates import require_plate

MAX_PAGE_SIZE = 500
MAX_RECENT = 500
MAX_PAGE = 1_000_000_000
MAX_EVENT_NUMBER = 2**63 - 1
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2999, 1, 1, tzinfo=UTC)

_LABEL = re.compile(r"\w[\w .,:&+()#'’·-]*", re.UNICODE)  # classes and zones are named in every script
_NEVER_IN_A_LABEL = re.compile(r"--|\.\.|(?<!\w)['’]|['’](?!\w)", re.UNICODE)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
_PLUS_READ_AS_SPACE = re.compile(r" (\d\d:?\d\d)$", re.ASCII)


def _check_label(text: str) -> str:
    if not _LABEL.fullmatch(text) or _NEVER_IN_A_LABEL.search(text):
        raise ValueError(
            "must begin with a letter or digit and hold only letters, digits, spaces and . , : & + ( ) # ' -"
        )
    return text


def plate_parameter(text: str) -> str:
    """Return the plate in normal form, or a protected one's token; raise ValueError where there is neither."""
    return text if is_token(text) else require_plate(text)


def _mend_time(value: object) -> object:
    """Refuse bare numbers, and read back the ``+`` of a zone that a URL decoder took for a space."""
    if not isinstance(value, str):
        return value
    text = _PLUS_READ_AS_SPACE.sub(r"+\1", value) if len(value) > len("2026-11-20 10:30") else value
    if not _RFC3339.fullmatch(text):
        raise ValueError("must be an RFC 3339 time with a zone, such as 2026-11-20T10:30:00Z")
    return text


def _check_time(moment: datetime) -> datetime:
    if not EARLIEST + timedelta(days=1) <= moment <= LATEST:
        raise ValueError("must lie between 1970 and 2999")
    return moment.astimezone(UTC)


Segment = Annotated[str, Field(pattern=SEGMENT_PATTERN)]
Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_label)]
Plate = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(plate_parameter)]
Time = Annotated[AwareDatetime, BeforeValidator(_mend_time), AfterValidator(_check_time)]


class FilterParameters(BaseModel):
    """Conditions on events; every one given must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    camera_id: Segment | None = Field(default=None, description="Events of this camera.", examples=["camera-1"])
    event_type: EventType | None = Field(default=None, description="Events of this kind.", examples=["tracking"])
    class_name: Label | None = Field(
        default=None,
        description="Events that show an object of this class: the tracked object's, or any in a `detection` event.",
        examples=["person"],
    )
    min_confidence: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="At least this sure: of the tracked object, of a detected one (of `class_name`), or of the plate.",
        examples=[0.6],
    )
    zone: Label | None = Field(
        default=None, description="Events of objects in this zone, and of its rules.", examples=["driveway"]
    )
    site_id: Segment | None = Field(default=None, description="Events of this site.", examples=["hq"])
    license_plate: Plate | None = Field(
        default=None,
        description="`anpr` events of this very plate; case, accents, spaces, dots and hyphens do not matter, nor"
        " whether a letter that looks Latin is Cyrillic or Greek. Other letters and digits are compared as they are.",
        examples=["AB-123-CD"],
    )
    start_time: Time | None = Field(
        default=None, description="Captured at or after this time (RFC 3339).", examples=["2026-11-20T00:00:00Z"]
    )
    end_time: Time | None = Field(
        default=None, description="Captured at or before this time (RFC 3339).", examples=["2026-11-20T23:59:59Z"]
    )

    @model_validator(mode="after")
    def _check_order(self) -> FilterParameters:
        if self.start_time and self.end_time and self.start_time > self.end_time:
            raise ValueError("start_time is after end_time")
        return self

    def event_filter(self) -> EventFilter:
        """Return the filter that the database side understands."""
        return EventFilter(
            camera_id=self.camera_id,
            site_id=self.site_id,
            event_type=self.event_type,
            class_name=self.class_name,
            min_confidence=self.min_confidence,
            zone=self.zone,
            plate=self.license_plate,
            start=self.start_time,
            end=self.end_time + timedelta(microseconds=1) if self.end_time else None,
        )


class PageParameters(BaseModel):
    """Which slice of a list, newest first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: int = Field(default=1, ge=1, le=MAX_PAGE, description="Page number, from 1. Not together with `cursor`.")
    page_size: int = Field(default=50, ge=1, le=MAX_PAGE_SIZE, description="Events on a page.")
    cursor: str | None = Field(
        default=None,
        max_length=TOKEN_LENGTH,
        description="`next_cursor` of the page before: goes on right after it, at the same speed however deep, "
        "and unmoved by events that arrive meanwhile.",
    )

    @model_validator(mode="after")
    def _check_cursor(self) -> PageParameters:
        if self.cursor is not None:
            if self.page != 1:
                raise ValueError("give page or cursor, not both")
            try:
                decode_cursor(self.cursor)
            except ValueError as error:
                raise ValueError(f"cursor {error}") from None
        return self

    @property
    def after(self) -> Cursor | None:
        """The place to go on from, or None for a numbered page."""
        return None if self.cursor is None else decode_cursor(self.cursor)


class ListParameters(PageParameters, FilterParameters):
    """``GET /events``: conditions and a slice."""


class DeleteRequest(FilterParameters):
    """``POST /events/delete``: at least one condition, and how far to go."""

    limit: int = Field(default=1000, ge=1, le=10_000, description="Delete at most this many, oldest first.")
    delete_snapshots: bool = Field(default=False, description="Delete their pictures and thumbnails too.")

    @model_validator(mode="after")
    def _check_condition(self) -> DeleteRequest:
        if self.event_filter().is_empty:
            raise ValueError("give at least one condition; deleting everything takes start_time and end_time")
        return self


class ExportParameters(FilterParameters):
    """``GET /events/export``: conditions, a form, and where to go on."""

    format: Literal["ndjson", "csv"] = Field(default="ndjson", description="One JSON object a line, or CSV.")
    limit: int | None = Field(default=None, ge=1, le=10_000_000, description="Stop after this many events.")
    cursor: str | None = Field(
        default=None, max_length=TOKEN_LENGTH, description="`X-Next-Cursor` of the part before: go on after it."
    )

    @model_validator(mode="after")
    def _check_cursor(self) -> ExportParameters:
        try:
            _ = self.after
        except ValueError as error:
            raise ValueError(f"cursor {error}") from None
        return self

    @property
    def after(self) -> Cursor | None:
        """The place to go on from, or None from the newest."""
        return None if self.cursor is None else decode_cursor(self.cursor)


def parse_event_ref(text: str) -> int | UUID:
    """Return the number or UUID that names an event; raise ValueError for anything else."""
    if text.isascii() and text.isdecimal() and len(text) <= 19:
        number = int(text)
        if 1 <= number <= MAX_EVENT_NUMBER:
            return number
    elif re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", text):
        return UUID(text)
    raise ValueError("must be an event's id (a positive integer) or its event_id (a UUID)")


async def event_ref(
    event: Annotated[
        str,
        Path(
            description="An event's `id` or its `event_id`.",
            examples=["42", "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"],
            max_length=100,
        ),
    ],
) -> int | UUID:
    """Path dependency: the event meant."""
    try:
        return parse_event_ref(event)
    except ValueError as error:
        raise invalid_parameter("event", str(error), location="path") from None
