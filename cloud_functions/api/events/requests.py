"""Request models of the events API: each validates its parameters before a route uses them."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud_functions.api.http.cursor import TOKEN_LENGTH, Cursor, cursor_after
from cloud_functions.api.http.parameters import Label, Plate, Segment, Time
from cloud_functions.db.events.filter import EventFilter
from shared.event_types import EventType

MAX_PAGE_SIZE = 500
MAX_RECENT = 500
MAX_PAGE = 1_000_000_000


class FilterParameters(BaseModel):
    """Conditions on events. An event matches if it meets every condition given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    camera_id: Segment | None = Field(default=None, description="Only events of this camera.", examples=["camera-1"])
    event_type: EventType | None = Field(default=None, description="Only events of this type.", examples=["tracking"])
    class_name: Label | None = Field(
        default=None,
        description="Only events with an object of this class: the tracked object, or any object of a `detection`"
        " event.",
        examples=["person"],
    )
    min_confidence: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Minimum confidence of the tracked object, of a detected object (of class `class_name`, if given), "
        "or of the plate.",
        examples=[0.6],
    )
    zone: Label | None = Field(
        default=None,
        description="Only events of objects in this zone and of rules for this zone.",
        examples=["driveway"],
    )
    site_id: Segment | None = Field(default=None, description="Only events of this site.", examples=["hq"])
    license_plate: Plate | None = Field(
        default=None,
        description="Only `anpr` events of exactly this plate. Case, accents, spaces, dots and hyphens are ignored."
        " Cyrillic and Greek letters that look like Latin letters equal them. All other characters must match.",
        examples=["AB-123-CD"],
    )
    start_time: Time | None = Field(
        default=None,
        description="Only events captured at or after this time (RFC 3339).",
        examples=["2026-11-20T00:00:00Z"],
    )
    end_time: Time | None = Field(
        default=None,
        description="Only events captured at or before this time (RFC 3339).",
        examples=["2026-11-20T23:59:59Z"],
    )

    @model_validator(mode="after")
    def _check_order(self) -> FilterParameters:
        if self.start_time and self.end_time and self.start_time > self.end_time:
            raise ValueError("start_time is after end_time")
        return self

    def event_filter(self) -> EventFilter:
        """Return the conditions as a database filter."""
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
    """Selects one page of a list, newest first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: int = Field(
        default=1, ge=1, le=MAX_PAGE, description="Page number, starting at 1. Cannot be combined with `cursor`."
    )
    page_size: int = Field(default=50, ge=1, le=MAX_PAGE_SIZE, description="Number of events per page.")
    cursor: str | None = Field(
        default=None,
        max_length=TOKEN_LENGTH,
        description="`next_cursor` of the previous page. The response continues directly after that page, at the same"
        " speed at any depth, and events that arrive in the meantime neither repeat nor skip items.",
    )

    @model_validator(mode="after")
    def _check_cursor(self) -> PageParameters:
        if self.cursor is not None and self.page != 1:
            raise ValueError("give page or cursor, not both")
        _ = self.after
        return self

    @property
    def after(self) -> Cursor | None:
        """The position after which the page starts, or None for a numbered page."""
        return cursor_after(self.cursor)


class ListParameters(PageParameters, FilterParameters):
    """Parameters of ``GET /events``: conditions and a page."""


class DeleteEventsRequest(FilterParameters):
    """Body of ``POST /events/delete``: at least one condition, and the size of the batch."""

    limit: int = Field(default=1000, ge=1, le=10_000, description="Maximum number of events to delete, oldest first.")
    delete_snapshots: bool = Field(default=False, description="Also delete their snapshots and thumbnails.")

    @model_validator(mode="after")
    def _check_condition(self) -> DeleteEventsRequest:
        if self.event_filter().is_empty:
            raise ValueError("give at least one condition; to delete all events, give start_time and end_time")
        return self


class ExportParameters(FilterParameters):
    """Parameters of ``GET /events/export``: conditions, a format and a start position."""

    format: Literal["ndjson", "csv"] = Field(
        default="ndjson", description="`ndjson` (one JSON object per line) or `csv`."
    )
    limit: int | None = Field(default=None, ge=1, le=10_000_000, description="Maximum number of events to export.")
    cursor: str | None = Field(
        default=None,
        max_length=TOKEN_LENGTH,
        description="`X-Next-Cursor` of the previous response. The export continues after it.",
    )

    @model_validator(mode="after")
    def _check_cursor(self) -> ExportParameters:
        _ = self.after
        return self

    @property
    def after(self) -> Cursor | None:
        """The position after which the export starts, or None to start with the newest event."""
        return cursor_after(self.cursor)
