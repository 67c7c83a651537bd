"""Reads events: a page of a list, a single event, and the batches of an export.

Lists are sorted newest first, by capture time and then by id. Rollups give the time span of a page, so every page of a
filter with a rollup costs the same: earlier pages, and months without matching events, are not read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from cloud_functions.db.cameras.scope import CAMERA_ID_IN_SCOPE, CameraScope, limited, scope_parameters
from cloud_functions.db.events.counts import count_buckets, count_events, rollup_column, rollup_conditions
from cloud_functions.db.events.filter import EventFilter, Parameters, all_of, event_conditions
from cloud_functions.db.events.identity import MINTED_WITHIN, uuid7_time
from cloud_functions.db.events.page_window import Window, window_after, window_for_page
from cloud_functions.db.events.record import FLAT_EVENT_COLUMNS, FlatEvent
from cloud_functions.db.events.time_buckets import HOUR, TimeSpan, floor_hour, time_conditions
from cloud_functions.db.types import Connection, Position

_COLUMNS = sql.SQL(FLAT_EVENT_COLUMNS)


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of a list, the total of the whole list, and whether more events follow."""

    events: list[FlatEvent]
    total: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class _Slice:
    """``limit`` events, after skipping ``skip`` events or after a position."""

    limit: int
    skip: int = 0
    after: Position | None = None


def numbered_page(connection: Connection, event_filter: EventFilter, *, offset: int, limit: int) -> EventPage:
    """Return ``limit`` events after the newest ``offset`` events."""
    buckets = count_buckets(connection, event_filter) if event_filter.has_rollup else []
    total = (
        sum(bucket.events for bucket in buckets) if event_filter.has_rollup else count_events(connection, event_filter)
    )
    if offset >= total:
        return EventPage(events=[], total=total, has_more=False)
    window = Window(event_filter.span, offset)
    if buckets:
        window = window_for_page(connection, event_filter, buckets, offset=offset, limit=limit)
    within = replace(event_filter, start=window.span.start, end=window.span.end)
    events = _select(connection, within, _Slice(skip=window.skip, limit=limit))
    return EventPage(events=events, total=total, has_more=offset + len(events) < total)


def page_after(connection: Connection, event_filter: EventFilter, *, after: Position, limit: int) -> EventPage:
    """Return the ``limit`` events after the position ``after``, and the total of the whole list."""
    buckets = count_buckets(connection, event_filter) if event_filter.has_rollup else []
    total = (
        sum(bucket.events for bucket in buckets) if event_filter.has_rollup else count_events(connection, event_filter)
    )
    if total == 0:
        return EventPage(events=[], total=0, has_more=False)
    span = event_filter.span
    if buckets:
        span = window_after(connection, event_filter, buckets, moment=after.timestamp, limit=limit + 1).span
    within = replace(event_filter, start=span.start)
    events = _select(connection, within, _Slice(limit=limit + 1, after=after))
    return EventPage(events=events[:limit], total=total, has_more=len(events) > limit)


def events_after(
    connection: Connection, event_filter: EventFilter, *, after: Position | None, limit: int
) -> list[FlatEvent]:
    """Return the newest ``limit`` events, or those after the position ``after``, without counting the total."""
    return _select(connection, event_filter, _Slice(limit=limit, after=after))


def find_event(connection: Connection, ref: int | UUID, *, scope: CameraScope | None = None) -> FlatEvent | None:
    """Return the event with this id or event_id; None if there is none in the scope.

    Months are searched from the newest, with one index lookup each; the month of a UUIDv7's time is searched first.
    """
    if isinstance(ref, int):
        return _found(connection, "event_by_number(%(ref)s)", {"ref": ref}, scope)
    minted = uuid7_time(str(ref))
    if minted is not None:
        near: Parameters = {"ref": ref, "earliest": minted - MINTED_WITHIN, "latest": minted + MINTED_WITHIN}
        if event := _found(connection, "event_by_uuid(%(ref)s, %(earliest)s, %(latest)s)", near, scope):
            return event
    return _found(connection, "event_by_uuid(%(ref)s)", {"ref": ref}, scope)


def _found(
    connection: Connection, function: LiteralString, arguments: Parameters, scope: CameraScope | None
) -> FlatEvent | None:
    condition = limited(CAMERA_ID_IN_SCOPE, scope, keyword="WHERE")
    query = sql.SQL("SELECT {} FROM {}{}").format(_COLUMNS, sql.SQL(function), sql.SQL(condition))
    row = connection.execute(query, arguments | scope_parameters(scope)).fetchone()
    return None if row is None else FlatEvent.from_row(row)


def _select(connection: Connection, event_filter: EventFilter, part: _Slice) -> list[FlatEvent]:
    """Return a slice of the matching events, newest first."""
    by_hour = event_filter.has_rollup and event_filter.label is not None
    conditions, parameters = event_conditions(event_filter, by_label_index=not by_hour)
    conditions += time_conditions(event_filter.span, "timestamp", parameters, "span")
    if part.after is not None:
        # The first condition excludes the months after the position; the second is the position itself.
        conditions.append(
            sql.SQL('"timestamp" <= %(after_time)s AND ("timestamp", id) < (%(after_time)s, %(after_id)s)')
        )
        parameters |= {"after_time": part.after.timestamp, "after_id": part.after.id}
    parameters |= {"skip": part.skip, "limit": part.limit}
    source = _matching_hours(event_filter, conditions, parameters, part) if by_hour else _all_hours(conditions)
    query = sql.SQL('{} ORDER BY "timestamp" DESC, id DESC OFFSET %(skip)s LIMIT %(limit)s').format(source)
    return [FlatEvent.from_row(row) for row in connection.execute(query, parameters)]


def _all_hours(conditions: list[sql.Composable]) -> sql.Composed:
    return sql.SQL("SELECT {} FROM events WHERE {}").format(_COLUMNS, all_of(conditions))


def _matching_hours(
    event_filter: EventFilter, conditions: list[sql.Composable], parameters: Parameters, part: _Slice
) -> sql.Composed:
    """Return a select that reads only the cameras and hours in which rollups count the label.

    Each of them is a short range of the (camera, type, time) index; OFFSET 0 keeps the planner from another plan.
    """
    ends = [end for end in (event_filter.end, part.after.timestamp + HOUR if part.after else None) if end is not None]
    begin = None if event_filter.start is None else floor_hour(event_filter.start)
    span = TimeSpan(begin, min(ends, default=None))
    in_span = rollup_conditions(event_filter, "hour", span, parameters, "hours")
    return sql.SQL(
        """
        SELECT events_of_hour.* FROM (
            SELECT hour, camera_id, event_type, site_id FROM event_label_counts WHERE {counted} > 0 AND {in_span}
        ) AS matching CROSS JOIN LATERAL (
            SELECT {columns} FROM events
            WHERE camera_id = matching.camera_id AND event_type = matching.event_type AND site_id = matching.site_id
              AND "timestamp" >= matching.hour AND "timestamp" < matching.hour + interval '1 hour' AND {conditions}
            OFFSET 0
        ) AS events_of_hour
        """
    ).format(
        columns=_COLUMNS,
        conditions=all_of(conditions),
        counted=rollup_column(event_filter),
        in_span=all_of(in_span),
    )
