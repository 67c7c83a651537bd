"""``GET /events/export``: events as NDJSON or CSV, a thousand at a time, so that memory stays flat.

A server streams until the end. Lambda gives one bounded answer: what fits, and in ``X-Next-Cursor`` where to go on.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from cloud_functions.api.dependencies import Here, Limits, Resources
from cloud_functions.api.events.requests import ExportParameters
from cloud_functions.api.http.cursor import Cursor
from cloud_functions.api.http.limits import shortened, without_data
from cloud_functions.api.http.semantics import IS_HEAD
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import require
from cloud_functions.api.security.plate_read_policy import MayReadPlates
from cloud_functions.db.events.queries import events_after
from cloud_functions.db.events.record import FlatEvent
from shared.clock import format_utc
from shared.untyped_data import UntypedData

router = APIRouter(prefix="/events", tags=["Events"], route_class=StrictRoute)
_Batches = AsyncGenerator[list[FlatEvent]]

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
_IGNORED_BEFORE_A_FORMULA = ("Cc", "Cf", "Zs", "Zl", "Zp")
"""Unicode categories that a spreadsheet skips at the start of a cell: controls, invisible characters, spaces."""
_ALSO_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""Characters that JSON may hold as they are, and at which many readers of lines (Python's, JavaScript's) would cut."""
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
    body, cursor = await _bounded(batches, asked, here.limits)
    if cursor is not None:
        headers["X-Next-Cursor"] = cursor.encode()
    return Response(body, media_type=media_type, headers=headers)


async def _streamed(batches: _Batches, asked: ExportParameters) -> AsyncIterator[str]:
    line = _LINES[asked.format]
    if asked.format == "csv":
        yield _csv_line(CSV_COLUMNS)
    async for events in batches:
        yield "".join([line(event) for event in events])


async def _bounded(batches: _Batches, asked: ExportParameters, limits: Limits) -> tuple[str, Cursor | None]:
    """Return what fits, and the place of the last event where there is more."""
    line = _LINES[asked.format]
    lines = [_csv_line(CSV_COLUMNS)] if asked.format == "csv" else []
    room, written, last = limits.answer_bytes - 1024, 0, None
    async with aclosing(batches):
        async for event in (event async for events in batches for event in events):
            text = line(event)
            room -= limits.sent_bytes(text)
            if room < 0 and last is not None:
                return "".join(lines), _place(last)
            if room < 0:  # not even alone: what is said of it fits, and the export goes on after it
                text = line(without_data(event))
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
            opened = await here.database.run(_opener(here, events)) if may_read else events
            yield [shortened(event) for event in opened]
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
    text = event.to_json()
    if not text.isascii():
        text = text.translate(_ALSO_LINE_ENDS)
    return text + "\n"


def _csv_event(event: FlatEvent) -> str:
    class_name, confidence, license_plate = _typed_cells(event)
    return _csv_line(
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
    """Return class, confidence and plate where events of this type have them; an extra field of that name is none."""
    if event.event_type in ("tracking", "rule"):
        data = UntypedData.from_json(event.event_data_json)
        return data.text("class_name"), data.number("confidence"), None
    if event.event_type == "anpr":
        data = UntypedData.from_json(event.event_data_json)
        return None, data.part("anpr_result").number("confidence"), data.text("plate_normalized")
    return None, None, None


def _csv_line(cells: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([_safe_cell(cell) for cell in cells])
    return out.getvalue()


def _safe_cell(cell: object) -> object:
    """Keep a spreadsheet from running text that came from a camera as a formula."""
    if not isinstance(cell, str) or not cell or cell[0].isalnum() or cell[0] == "{":
        return cell
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) or _first_shown(cell) in _FORMULA_STARTS else cell


def _first_shown(text: str) -> str:
    """Return the first character that a spreadsheet looks at, in its compatibility form (``＝`` is ``=``)."""
    shown = (char for char in text if unicodedata.category(char) not in _IGNORED_BEFORE_A_FORMULA)
    return unicodedata.normalize("NFKC", next(shown, ""))[:1]


_LINES: dict[str, Callable[[FlatEvent], str]] = {"ndjson": _ndjson_line, "csv": _csv_event}
