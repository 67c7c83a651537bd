"""What a subscription selects from the event stream: the filter of the events API, with several types and cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.events.filter import EventFilter, all_of, event_conditions
from cloud_functions.db.events.record import FLAT_EVENT_COLUMNS, FlatEvent
from cloud_functions.db.types import Connection

_WINDOW: Final = 2000
"""Entries that one query looks at, so that a filter that selects little does not read the whole stream at once."""
_CONDITIONS: Final = ("site_id", "class_name", "min_confidence", "zone")

# Each entry is one lookup by time and id in its partition; OFFSET 0 keeps the planner from scanning the events.
_READ: Final = sql.SQL(
    """
SELECT s.position, s.document, e.* FROM event_stream AS s CROSS JOIN LATERAL (
    SELECT {columns} FROM events WHERE id = s.number AND "timestamp" = s.moment AND {conditions} OFFSET 0
) AS e
WHERE s.position > %(after)s AND s.position <= %(until)s
    AND (%(types)s::text[] IS NULL
         OR CASE WHEN s.document IS NULL THEN e.event_type ELSE s.document::json ->> 'event_type' END = ANY (%(types)s))
ORDER BY s.position LIMIT %(limit)s
"""
)


@dataclass(frozen=True, slots=True)
class StreamFilter:
    """Conditions on events; all must hold. None means no condition."""

    conditions: Mapping[str, Any]
    """By the names of the parameters of ``GET /events``."""
    types: tuple[str, ...] | None = None
    """``plate_match`` stands for the matches of watch-lists."""
    cameras: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    """Slugs of camera groups."""

    @classmethod
    def stored(cls, stored: Mapping[str, Any]) -> StreamFilter:
        """Return the filter that ``stored`` is of."""
        several = {name: stored[name] for name in ("types", "cameras", "groups") if stored.get(name) is not None}
        conditions = {name: value for name, value in stored.items() if name not in {"types", "cameras", "groups"}}
        return cls(conditions, **{name: tuple(values) for name, values in several.items()})

    def within(self, limit: tuple[str, ...] | None) -> CameraScope | None:
        """Return the camera groups to which queries are limited, for a caller who is limited to ``limit``."""
        if self.groups is None:
            return None if limit is None else CameraScope(limit)
        return CameraScope(self.groups if limit is None else tuple(slug for slug in self.groups if slug in limit))


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """Some entries of the stream, in order, and how far they reach."""

    events: list[tuple[int, FlatEvent, str | None]]
    """Position, stored event, and a document that stands in its place."""
    until: int
    """Position up to which nothing else matches."""


def read_stream(
    connection: Connection,
    stream_filter: StreamFilter,
    *,
    limited_to: tuple[str, ...] | None,
    after: int,
    head: int,
    limit: int,
) -> StreamBatch:
    """Return at most ``limit`` matching entries after a position, from the next part of the stream.

    ``limited_to``: the camera groups of the caller; None for no limit.
    """
    chosen = {name: stream_filter.conditions[name] for name in _CONDITIONS if name in stream_filter.conditions}
    event_filter = EventFilter(
        **chosen,
        plate=stream_filter.conditions.get("license_plate"),
        scope=stream_filter.within(limited_to),
    )
    conditions, parameters = event_conditions(event_filter, by_label_index=False)
    if stream_filter.cameras is not None:
        conditions.append(sql.SQL("camera_id = ANY (%(cameras)s)"))
    until = min(head, after + _WINDOW)
    values: dict[str, Any] = {
        **parameters,
        "after": after,
        "until": until,
        "limit": limit,
        "types": None if stream_filter.types is None else list(stream_filter.types),
        "cameras": list(stream_filter.cameras or ()),
    }
    query = _READ.format(columns=sql.SQL(FLAT_EVENT_COLUMNS), conditions=all_of(conditions))
    events = [(row[0], FlatEvent.from_row(row[2:]), row[1]) for row in connection.execute(query, values)]
    return StreamBatch(events, events[-1][0] if len(events) == limit else until)
