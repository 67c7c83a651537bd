"""Request models of the events API: each validates its parameters before a route uses them."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from cloud_functions.api.http.cursor import TOKEN_LENGTH
from cloud_functions.api.http.list_parameters import CursorParameter, TimeRangeParameters
from cloud_functions.api.http.parameters import Label, Plate, Segment
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.events.filter import EventFilter
from shared.event_types import EventType

MAX_PAGE_SIZE = 500
MAX_RECENT = 500
MAX_PAGE = 1_000_000_000


class FilterParameters(TimeRangeParameters):
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

    def event_filter(self, *, scope: CameraScope | None) -> EventFilter:
        """Return the conditions as a database filter, within the caller's limit to camera groups."""
        return EventFilter(
            scope=scope,
            camera_id=self.camera_id,
            site_id=self.site_id,
            event_type=self.event_type,
            class_name=self.class_name,
            min_confidence=self.min_confidence,
            zone=self.zone,
            plate=self.license_plate,
            start=self.start_time,
            end=self.exclusive_end,
        )


class PageParameters(CursorParameter):
    """Selects one page of a list, newest first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: int = Field(
        default=1, ge=1, le=MAX_PAGE, description="Page number, starting at 1. Cannot be combined with `cursor`."
    )
    page_size: int = Field(default=50, ge=1, le=MAX_PAGE_SIZE, description="Number of events per page.")

    def check_cursor(self) -> None:
        if self.cursor is not None and self.page != 1:
            raise ValueError("give page or cursor, not both")
        super().check_cursor()


class ListParameters(PageParameters, FilterParameters):
    """Parameters of ``GET /events``: conditions and a page."""


class DeleteEventsRequest(FilterParameters):
    """Body of ``POST /events/delete``: at least one condition, and the size of the batch."""

    limit: int = Field(default=1000, ge=1, le=10_000, description="Maximum number of events to delete, oldest first.")
    delete_snapshots: bool = Field(
        default=False, description="Delete their snapshots and thumbnails at once. Otherwise maintenance does."
    )

    @model_validator(mode="after")
    def _check_condition(self) -> DeleteEventsRequest:
        if self.event_filter(scope=None).is_empty:
            raise ValueError("give at least one condition; to delete all events, give start_time and end_time")
        return self


class ExportParameters(CursorParameter, FilterParameters):
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
