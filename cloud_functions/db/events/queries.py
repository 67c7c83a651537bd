"""Reading events: a page of a list, one event, and what an export walks over.

A list is newest first, by capture time and then by number. The kept counts say where in time a page lies, so any page
of a filter they know costs the same: what comes before it is not read, nor are months that hold none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from cloud_functions.db.events.counts import count_buckets, count_events, rollup_column, rollup_conditions
from cloud_functions.db.events.filter import EventFilter, Parameters, all_of, event_conditions
from cloud_functions.db.events.page_window import Window, window_after, window_for_page
from cloud_functions.db.events.record import FLAT_EVENT_COLUMNS, FlatEvent
from cloud_functions.db.events.time_buckets import HOUR, TimeSpan, floor_hour, time_conditions
from cloud_functions.db.types import Connection, Position

_COLUMNS = sql.SQL(FLAT_EVENT_COLUMNS)
MINTED_WITHIN = timedelta(days=2)
"""How far apart an event's capture and the minting of its UUIDv7 are looked for first."""
_LAST_MINTED_MS = 32_503_680_000_000  # the year 3000; a UUID that claims later is looked for everywhere


@dataclass(frozen=True, slots=True)
class EventPage:
    """A slice of a list, how many events the whole list has, and whether more follow."""

    events: list[FlatEvent]
    total: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class _Slice:
    """``limit`` events after stepping over ``skip``, or after a place."""

    limit: int
    skip: int = 0
    after: Position | None = None


def numbered_page(connection: Connection, wanted: EventFilter, *, offset: int, limit: int) -> EventPage:
    """Return ``limit`` events after the newest ``offset``."""
    buckets = count_buckets(connection, wanted) if wanted.has_rollup else []
    total = sum(bucket.events for bucket in buckets) if wanted.has_rollup else count_events(connection, wanted)
    if offset >= total:
        return EventPage(events=[], total=total, has_more=False)
    window = Window(wanted.span, offset)
    if buckets:
        window = window_for_page(connection, wanted, buckets, offset=offset, limit=limit)
    within = replace(wanted, start=window.span.start, end=window.span.end)
    events = _select(connection, within, _Slice(skip=window.skip, limit=limit))
    return EventPage(events=events, total=total, has_more=offset + len(events) < total)


def page_after(connection: Connection, wanted: EventFilter, *, after: Position, limit: int) -> EventPage:
    """Return the ``limit`` events that follow ``after``, and the total of the whole list."""
    buckets = count_buckets(connection, wanted) if wanted.has_rollup else []
    total = sum(bucket.events for bucket in buckets) if wanted.has_rollup else count_events(connection, wanted)
    if total == 0:
        return EventPage(events=[], total=0, has_more=False)
    span = wanted.span
    if buckets:
        span = window_after(connection, wanted, buckets, moment=after.timestamp, limit=limit + 1).span
    within = replace(wanted, start=span.start)
    events = _select(connection, within, _Slice(limit=limit + 1, after=after))
    return EventPage(events=events[:limit], total=total, has_more=len(events) > limit)


def events_after(connection: Connection, wanted: EventFilter, *, after: Position | None, limit: int) -> list[FlatEvent]:
    """Return the newest ``limit`` events, or those that follow ``after``; counts nothing."""
    return _select(connection, wanted, _Slice(limit=limit, after=after))


def find_event(connection: Connection, ref: int | UUID) -> FlatEvent | None:
    """Return the event with that number or event_id, or None.

    Months are looked through from the newest, one index probe each; a UUIDv7 says in which to look first.
    """
    if isinstance(ref, int):
        return _found(connection, "event_by_number(%s)", [ref])
    minted_ms = ref.int >> 80
    if ref.version == 7 and minted_ms < _LAST_MINTED_MS:
        minted = datetime.fromtimestamp(minted_ms / 1000, tz=UTC)
        near = [ref, minted - MINTED_WITHIN, minted + MINTED_WITHIN]
        if event := _found(connection, "event_by_uuid(%s, %s, %s)", near):
            return event
    return _found(connection, "event_by_uuid(%s)", [ref])


def _found(connection: Connection, function: LiteralString, arguments: Sequence[object]) -> FlatEvent | None:
    query = sql.SQL("SELECT {} FROM {}").format(_COLUMNS, sql.SQL(function))
    row = connection.execute(query, arguments).fetchone()
    return None if row is None else FlatEvent.from_row(row)


def _select(connection: Connection, wanted: EventFilter, part: _Slice) -> list[FlatEvent]:
    """Return a slice of the matching events, newest first."""
    in_cells = wanted.has_rollup and wanted.label is not None
    conditions, parameters = event_conditions(wanted, by_label_index=not in_cells)
    conditions += time_conditions(wanted.span, "timestamp", parameters, "span")
    if part.after is not None:
        # The first condition is what leaves out the months after the place; the second is the place itself.
        conditions.append(
            sql.SQL('"timestamp" <= %(after_time)s AND ("timestamp", id) < (%(after_time)s, %(after_id)s)')
        )
        parameters |= {"after_time": part.after.timestamp, "after_id": part.after.id}
    parameters |= {"skip": part.skip, "limit": part.limit}
    source = _cells(wanted, conditions, parameters, part) if in_cells else _plain(conditions)
    query = sql.SQL('{} ORDER BY "timestamp" DESC, id DESC OFFSET %(skip)s LIMIT %(limit)s').format(source)
    return [FlatEvent.from_row(row) for row in connection.execute(query, parameters)]


def _plain(conditions: list[sql.Composable]) -> sql.Composed:
    return sql.SQL("SELECT {} FROM events WHERE {}").format(_COLUMNS, all_of(conditions))


def _cells(wanted: EventFilter, conditions: list[sql.Composable], parameters: Parameters, part: _Slice) -> sql.Composed:
    """Return a select that looks only where the counts say that the label is: at some cameras, in some hours.

    Each such place is a short stretch of the (camera, type, time) index; OFFSET 0 keeps the planner from another way.
    """
    ends = [end for end in (wanted.end, part.after.timestamp + HOUR if part.after else None) if end is not None]
    begin = None if wanted.start is None else floor_hour(wanted.start)
    places = rollup_conditions(wanted, "hour", TimeSpan(begin, min(ends, default=None)), parameters, "places")
    return sql.SQL(
        """
        SELECT found.* FROM (
            SELECT hour, camera_id, event_type, site_id FROM event_label_counts WHERE {kept} > 0 AND {places}
        ) AS place CROSS JOIN LATERAL (
            SELECT {columns} FROM events
            WHERE camera_id = place.camera_id AND event_type = place.event_type AND site_id = place.site_id
              AND "timestamp" >= place.hour AND "timestamp" < place.hour + interval '1 hour' AND {conditions}
            OFFSET 0
        ) AS found
        """
    ).format(columns=_COLUMNS, conditions=all_of(conditions), kept=rollup_column(wanted), places=all_of(places))
