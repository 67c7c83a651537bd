"""``GET /events/export``: events as NDJSON or CSV, read in batches to bound the use of memory.

A server streams all events. Lambda returns the events that fit into one response, and the next cursor in
``X-Next-Cursor``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.events.requests import ExportParameters
from cloud_functions.api.events.responses import shorten_numbers, without_data
from cloud_functions.api.files.csv_cells import csv_line
from cloud_functions.api.http.cursor import Cursor
from cloud_functions.api.http.limits import Limits
from cloud_functions.api.http.middleware.semantics import IS_HEAD
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.api.security.plate_read_policy import MayReadPlates
from cloud_functions.db.cameras.scope import mark_of
from cloud_functions.db.events.filter import EventFilter
from cloud_functions.db.events.queries import events_after
from cloud_functions.db.events.record import FlatEvent
from cloud_functions.db.types import Connection
from shared.clock import format_utc
from shared.untyped_data import UntypedData

router = APIRouter(prefix="/events", tags=["Events"], route_class=StrictRoute)
_Batches = AsyncGenerator[list[FlatEvent]]

BATCH_SIZE = 1000
CSV_COLUMNS = (
    "id",
    "event_id",
    "event_type",
    "camera_id",
    "site_id",
    "device_id",
    "timestamp",
    "frame_number",
    "snapshot_path",
    "created_at",
    "class_name",
    "confidence",
    "license_plate",
    "event_data",
)
_LINE_SEPARATORS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""Characters that JSON allows unescaped and that many line readers (Python, JavaScript) treat as line ends."""
_MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One event per line, newest first.",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}, "text/csv": {"schema": {"type": "string"}}},
        "headers": {
            "X-Next-Cursor": {
                "schema": {"type": "string"},
                "description": "Value of `cursor` for the next part. Absent after the last event, and if the "
                "server streams all events.",
            }
        },
    }
}


class _Source(NamedTuple):
    """The events to export: the newest ``limit`` that meet the conditions, or those after a position."""

    conditions: EventFilter
    after: Cursor | None
    limit: int | None


@router.get(
    "/export",
    name="export_events",
    summary="Export events",
    responses=_RESPONSES,
    response_class=Response,
)
async def export_events(
    caller: Annotated[Principal, Depends(require_in_scope("events:read"))],
    request: Request,
    deps: Deps,
    params: Annotated[ExportParameters, Query()],
    may_read: MayReadPlates,
) -> Response:
    """All events that meet every condition, newest first, as NDJSON (in the format of the event list) or CSV.

    In CSV, `event_data` is one JSON cell. Cells that a spreadsheet could interpret as a formula are prefixed with `'`.
    """
    headers = {"Content-Disposition": f'attachment; filename="events.{params.format}"'}
    media_type = _MEDIA_TYPES[params.format]
    source = _Source(params.event_filter(scope=caller.scope), params.after(scope=caller.scope), params.limit)
    batches = _batches(deps, source, may_read=may_read)
    if deps.limits.export_bytes is None:
        content = iter(()) if request.scope.get(IS_HEAD) else _stream(batches, params)
        return StreamingResponse(content, media_type=media_type, headers=headers)
    body, last = await _first_part(batches, params, deps.limits)
    if last is not None:
        cursor = Cursor(timestamp=last.timestamp, id=last.id, scope_mark=mark_of(caller.scope))
        headers["X-Next-Cursor"] = cursor.encode()
    return Response(body, media_type=media_type, headers=headers)


async def _stream(batches: _Batches, params: ExportParameters) -> AsyncIterator[str]:
    line = _LINES[params.format]
    if params.format == "csv":
        yield csv_line(CSV_COLUMNS)
    async for events in batches:
        yield "".join([line(event) for event in events])


async def _first_part(batches: _Batches, params: ExportParameters, limits: Limits) -> tuple[str, FlatEvent | None]:
    """Return the events that fit into one response, and the last of them if more events follow."""
    line = _LINES[params.format]
    lines = [csv_line(CSV_COLUMNS)] if params.format == "csv" else []
    free_bytes, written, last = limits.response_bytes - 1024, 0, None
    async with aclosing(batches):
        async for event in (event async for events in batches for event in events):
            text = line(event)
            free_bytes -= limits.sent_bytes(text)
            if free_bytes < 0 and last is not None:
                return "".join(lines), last
            if free_bytes < 0:  # a single event that is too large: export it without data and continue after it
                text = line(without_data(event))
            lines.append(text)
            last = event
            written += 1
    is_complete = params.limit is None or written < params.limit
    return "".join(lines), None if is_complete else last


async def _batches(deps: Dependencies, source: _Source, *, may_read: bool) -> _Batches:
    after, remaining = source.after, source.limit
    event_filter = await deps.database.run(
        lambda connection: deps.plate_access.event_filter(connection, source.conditions)
    )
    while remaining is None or remaining > 0:
        size = BATCH_SIZE if remaining is None else min(BATCH_SIZE, remaining)
        events = await deps.database.run(_batch_query(event_filter, after, size))
        if events:
            opened = await deps.database.run(_open_query(deps, events)) if may_read else events
            yield [shorten_numbers(event) for event in opened]
            after = Cursor(timestamp=events[-1].timestamp, id=events[-1].id)
        if len(events) < size:
            return
        remaining = None if remaining is None else remaining - len(events)


def _batch_query(event_filter: EventFilter, after: Cursor | None, size: int) -> Callable[[Connection], list[FlatEvent]]:
    return lambda connection: events_after(connection, event_filter, after=after, limit=size)


def _open_query(deps: Dependencies, events: list[FlatEvent]) -> Callable[[Connection], list[FlatEvent]]:
    return lambda connection: deps.plate_access.events(connection, events, may_read=True)


def _ndjson_line(event: FlatEvent) -> str:
    text = event.to_json()
    if not text.isascii():
        text = text.translate(_LINE_SEPARATORS)
    return text + "\n"


def _csv_event(event: FlatEvent) -> str:
    class_name, confidence, license_plate = _typed_cells(event)
    return csv_line(
        (
            event.id,
            event.event_id,
            event.event_type,
            event.camera_id,
            event.site_id,
            event.device_id,
            format_utc(event.timestamp),
            event.frame_number,
            event.snapshot_path,
            format_utc(event.created_at),
            class_name,
            confidence,
            license_plate,
            event.event_data_json,
        )
    )


def _typed_cells(event: FlatEvent) -> tuple[str | None, float | None, str | None]:
    """Return class, confidence and plate, for the event types that define them. Extra fields are not included."""
    if event.event_type in ("tracking", "rule"):
        data = UntypedData.from_json(event.event_data_json)
        return data.text("class_name"), data.number("confidence"), None
    if event.event_type == "anpr":
        data = UntypedData.from_json(event.event_data_json)
        return None, data.part("anpr_result").number("confidence"), data.text("plate_normalized")
    return None, None, None


_LINES: dict[str, Callable[[FlatEvent], str]] = {"ndjson": _ndjson_line, "csv": _csv_event}
