"""``GET /events/export``: events as NDJSON or CSV, a thousand at a time, so that memory stays flat.

A server streams until the end. Lambda gives one bounded answer: what fits, and in ``X-Next-Cursor`` where to go on.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from cloud_functions.api.auth import require
from cloud_functions.api.cursor import Cursor
from cloud_functions.api.http_semantics import IS_HEAD
from cloud_functions.api.parameters import ExportParameters
from cloud_functions.api.plate_readers import MayReadPlates
from cloud_functions.api.resources import Here, Resources
from cloud_functions.api.strict_route import StrictRoute
from cloud_functions.db.event_queries import events_after
from cloud_functions.db.flat_event import FlatEvent

router = APIRouter(prefix="/events", tags=["Events"], route_class=StrictRoute)
_Batches = AsyncIterator[list[FlatEvent]]

EVENTS_A_READ = 1000
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
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One event a line, newest first.",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}, "text/csv": {"schema": {"type": "string"}}},
        "headers": {
            "X-Next-Cursor": {
                "schema": {"type": "string"},
                "description": "There is more: ask again with this as `cursor`. Absent at the end, and from a server "
                "that streams everything.",
            }
        },
    }
}


@router.get(
    "/export",
    name="export_events",
    dependencies=[Depends(require("events:read"))],
    summary="Export events",
    responses=_ANSWERS,
    response_class=Response,
)
async def export(
    request: Request, here: Here, asked: Annotated[ExportParameters, Query()], may_read: MayReadPlates
) -> Response:
    """All events that meet every condition, newest first, as NDJSON (the events as the list has them) or CSV.

    In CSV `event_data` is one JSON cell, and a cell that a spreadsheet would take for a formula begins with `'`.
    """
    headers = {"Content-Disposition": f'attachment; filename="events.{asked.format}"'}
    media_type = _MEDIA_TYPES[asked.format]
    batches = _batches(here, asked, may_read=may_read)
    if here.limits.export_bytes is None:
        content = iter(()) if request.scope.get(IS_HEAD) else _streamed(batches, asked)
        return StreamingResponse(content, media_type=media_type, headers=headers)
    body, cursor = await _bounded(batches, asked, here.limits.export_bytes)
    if cursor is not None:
        headers["X-Next-Cursor"] = cursor.encode()
    return Response(body, media_type=media_type, headers=headers)


async def _streamed(batches: _Batches, asked: ExportParameters) -> AsyncIterator[str]:
    line = _LINES[asked.format]
    if asked.format == "csv":
        yield _csv_line(CSV_COLUMNS)
    async for events in batches:
        yield "".join([line(event) for event in events])


async def _bounded(batches: _Batches, asked: ExportParameters, most_bytes: int) -> tuple[str, Cursor | None]:
    """Return what fits, and the place of the last event where there is more."""
    line = _LINES[asked.format]
    lines = [_csv_line(CSV_COLUMNS)] if asked.format == "csv" else []
    room, written, last = most_bytes - 1024, 0, None
    async for events in batches:
        for event in events:
            text = line(event)
            room -= len(json.dumps(text))  # as long as it gets inside Lambda's own JSON
            if room < 0 and last is not None:
                return "".join(lines), _place(last)
            lines.append(text)
            last = event
            written += 1
    complete = asked.limit is None or written < asked.limit
    return "".join(lines), None if complete or last is None else _place(last)


async def _batches(here: Resources, asked: ExportParameters, *, may_read: bool) -> _Batches:
    plain, after, left = asked.event_filter(), asked.after, asked.limit
    wanted = await here.database.run(lambda connection: here.plates.event_filter(connection, plain))
    while left is None or left > 0:
        size = EVENTS_A_READ if left is None else min(EVENTS_A_READ, left)
        events = await here.database.run(_reader(wanted, after, size))
        if events:
            yield await here.database.run(_opener(here, events)) if may_read else events
            after = _place(events[-1])
        if len(events) < size:
            return
        left = None if left is None else left - len(events)


def _reader(wanted: Any, after: Cursor | None, size: int) -> Callable[[Any], list[FlatEvent]]:
    return lambda connection: events_after(connection, wanted, after=after, limit=size)


def _opener(here: Resources, events: list[FlatEvent]) -> Callable[[Any], list[FlatEvent]]:
    return lambda connection: here.plates.events(connection, events, may_read=True)


def _place(event: FlatEvent) -> Cursor:
    return Cursor(timestamp=event.timestamp, id=event.id)


def _ndjson_line(event: FlatEvent) -> str:
    return event.to_json() + "\n"


def _csv_event(event: FlatEvent) -> str:
    flat = event.to_dict()
    data = flat["event_data"]
    flat |= {
        "class_name": data.get("class_name"),
        "confidence": data.get("confidence", (data.get("anpr_result") or {}).get("confidence")),
        "license_plate": data.get("plate_normalized"),
        "event_data": event.event_data_json,
    }
    return _csv_line([flat[column] for column in CSV_COLUMNS])


def _csv_line(cells: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([_safe_cell(cell) for cell in cells])
    return out.getvalue()


def _safe_cell(cell: object) -> object:
    """Keep a spreadsheet from running text that came from a camera as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


_LINES: dict[str, Callable[[FlatEvent], str]] = {"ndjson": _ndjson_line, "csv": _csv_event}
