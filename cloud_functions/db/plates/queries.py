"""Finds plate reads: lists by whole plate, prefix, camera, region and time, and the history of one plate.

Lists are sorted newest first, by capture time and then by id. Fuzzy search is in ``search``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from cloud_functions.db.cameras.scope import (
    CAMERA_ID_IN_SCOPE,
    CameraScope,
    camera_id_conditions,
    limited,
    scope_parameters,
)
from cloud_functions.db.events.counts import count_events
from cloud_functions.db.events.filter import EventFilter, Parameters, all_of
from cloud_functions.db.plates.record import PLATE_EVENT_COLUMNS, PlateEvent
from cloud_functions.db.types import Connection, Position

COLUMNS = sql.SQL(PLATE_EVENT_COLUMNS)


@dataclass(frozen=True, slots=True)
class PlateFilter:
    """Conditions on plate reads, combined with AND; None means no condition.

    ``start`` is inclusive and ``end`` exclusive, both timezone-aware. ``plate`` (whole) and ``prefix`` are in normal
    form (``shared.plates``); ``tokens`` are the protected plates that also match them.
    """

    plate: str | None = None
    prefix: str | None = None
    region: str | None = None
    camera_id: str | None = None
    site_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    tokens: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    """Events of ``plate`` that are stored under another token (see ``plates.normal_form.legacy_normal_forms``)."""
    scope: CameraScope | None = None
    """The camera groups that the caller is limited to."""

    @property
    def has_rollup(self) -> bool:
        """Whether the rollups of events can count the matching reads."""
        return self.plate is None and self.prefix is None and self.region is None

    @property
    def is_prefix_alone(self) -> bool:
        """Whether the prefix is the only condition."""
        others = (self.plate, self.region, self.camera_id, self.site_id, self.start, self.end, self.scope)
        return self.prefix is not None and all(other is None for other in others)


@dataclass(frozen=True, slots=True)
class PlatePage:
    """A page of a list, the total of the whole list, and whether more reads follow."""

    plates: list[PlateEvent]
    total: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class CameraHistory:
    """One camera's number of reads of the plate, and the times of the first and the last."""

    camera_id: str
    site_id: str
    events: int
    first_seen: datetime
    last_seen: datetime
    confidence_sum: float


@dataclass(frozen=True, slots=True)
class PlateHistory:
    """The reads of one plate by camera, the camera with the most reads first, and the newest reads."""

    cameras: list[CameraHistory]
    latest: PlatePage

    @property
    def events(self) -> int:
        return sum(camera.events for camera in self.cameras)

    @property
    def first_seen(self) -> datetime:
        return min(camera.first_seen for camera in self.cameras)

    @property
    def last_seen(self) -> datetime:
        return max(camera.last_seen for camera in self.cameras)

    @property
    def avg_confidence(self) -> float:
        return sum(camera.confidence_sum for camera in self.cameras) / self.events


_CONDITIONS: dict[str, LiteralString] = {
    "region": "region = %(region)s",
    "camera_id": "camera_id = %(camera_id)s",
    "site_id": "site_id = %(site_id)s",
    "start": "captured_at >= %(start)s",
    "end": "captured_at < %(end)s",
}
_PLATE: LiteralString = "plate_normalized_text = %(plate)s"
_ANY_PLATE: LiteralString = "plate_normalized_text = ANY(%(any_plate)s)"
_ANY_PLATE_OR_LISTED: LiteralString = (
    "(plate_normalized_text = ANY(%(any_plate)s) OR event_id = ANY(%(event_ids)s::uuid[]))"
)
_PREFIX: LiteralString = "plate_normalized_text >= %(prefix)s AND plate_normalized_text < %(prefix_end)s"
_PREFIX_OR_LISTED: LiteralString = (
    "(plate_normalized_text >= %(prefix)s AND plate_normalized_text < %(prefix_end)s"
    " OR plate_normalized_text = ANY(%(tokens)s))"
)

_PAGE = sql.SQL(
    "SELECT {} FROM plate_events WHERE {} ORDER BY captured_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s"
)
# The index by plate contains the times, so an index-only scan finds the newest of thousands of reads, and only the rows
# of the page are fetched.
_PREFIX_PAGE = sql.SQL(
    """
    SELECT {} FROM (
        SELECT captured_at, id FROM plate_events WHERE {}
        ORDER BY captured_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
    ) AS page JOIN plate_events USING (captured_at, id) ORDER BY captured_at DESC, id DESC
    """
)


def plate_conditions(plate_filter: PlateFilter) -> tuple[list[sql.Composable], Parameters]:
    """Return the conditions on ``plate_events`` and their parameters."""
    names = [name for name in _CONDITIONS if getattr(plate_filter, name) is not None]
    conditions: list[sql.Composable] = [sql.SQL(_CONDITIONS[name]) for name in names]
    parameters: Parameters = {name: getattr(plate_filter, name) for name in names}
    conditions += camera_id_conditions(plate_filter.scope, parameters)
    if plate_filter.plate is not None:
        several = _ANY_PLATE_OR_LISTED if plate_filter.event_ids else _ANY_PLATE
        conditions.append(sql.SQL(several if plate_filter.tokens or plate_filter.event_ids else _PLATE))
        parameters |= {
            "plate": plate_filter.plate,
            "any_plate": [plate_filter.plate, *plate_filter.tokens],
            "event_ids": list(plate_filter.event_ids),
        }
    if plate_filter.prefix is not None:
        conditions.append(sql.SQL(_PREFIX_OR_LISTED if plate_filter.tokens else _PREFIX))
        parameters |= _prefix_range(plate_filter.prefix) | {"tokens": list(plate_filter.tokens)}
    return conditions, parameters


def _prefix_range(prefix: str) -> Parameters:
    """Return the byte range of the texts that begin with ``prefix``: its end has the last character incremented.

    UTF-8 sorts by code point. The surrogates are skipped, and the highest code point is not a letter.
    """
    following = ord(prefix[-1]) + 1
    return {"prefix": prefix, "prefix_end": prefix[:-1] + chr(0xE000 if following == 0xD800 else following)}


def plates_page(
    connection: Connection, plate_filter: PlateFilter, *, limit: int, offset: int = 0, after: Position | None = None
) -> PlatePage:
    """Return ``limit`` reads after the newest ``offset``, or after a position, and the total number of matches."""
    total = count_plates(connection, plate_filter)
    if total <= offset:
        return PlatePage(plates=[], total=total, has_more=False)
    plates = newest_plates(connection, plate_filter, limit=limit + 1, offset=offset, after=after)
    return PlatePage(plates=plates[:limit], total=total, has_more=len(plates) > limit)


def newest_plates(
    connection: Connection, plate_filter: PlateFilter, *, limit: int, offset: int = 0, after: Position | None = None
) -> list[PlateEvent]:
    """Return ``limit`` reads after the newest ``offset``, or after a position. Nothing is counted."""
    conditions, parameters = plate_conditions(plate_filter)
    if after is not None:
        conditions.append(sql.SQL("(captured_at, id) < (%(after_time)s, %(after_id)s)"))
        parameters |= {"after_time": after.timestamp, "after_id": after.id}
    parameters |= {"limit": limit, "offset": offset}
    query = (_PREFIX_PAGE if plate_filter.is_prefix_alone else _PAGE).format(COLUMNS, all_of(conditions))
    return [PlateEvent.from_row(row) for row in connection.execute(query, parameters)]


def find_plate(connection: Connection, event_id: UUID, *, scope: CameraScope | None = None) -> PlateEvent | None:
    """Return the read of the event with this UUID; None if there is none in the scope."""
    condition = sql.SQL(limited(CAMERA_ID_IN_SCOPE, scope))
    query = sql.SQL("SELECT {} FROM plate_events WHERE event_id = %(event_id)s{} LIMIT 1").format(COLUMNS, condition)
    row = connection.execute(query, {"event_id": event_id} | scope_parameters(scope)).fetchone()
    return None if row is None else PlateEvent.from_row(row)


def count_plates(connection: Connection, plate_filter: PlateFilter) -> int:
    """Return exactly how many reads match, from rollups if possible."""
    if plate_filter.has_rollup:
        event_filter = EventFilter(
            event_type="anpr",
            camera_id=plate_filter.camera_id,
            site_id=plate_filter.site_id,
            start=plate_filter.start,
            end=plate_filter.end,
            scope=plate_filter.scope,
        )
        return count_events(connection, event_filter)
    conditions, parameters = plate_conditions(plate_filter)
    query = sql.SQL("SELECT count(*) FROM plate_events WHERE {}")
    if plate_filter.is_prefix_alone:
        query = sql.SQL("SELECT COALESCE(sum(events), 0)::bigint FROM plates WHERE {}")
    row = connection.execute(query.format(all_of(conditions)), parameters).fetchone()
    return 0 if row is None else row[0]


def plate_history(connection: Connection, plate_filter: PlateFilter, *, limit: int) -> PlateHistory | None:
    """Return the reads of the plate by camera, with the newest reads; None if there is no read."""
    conditions, parameters = plate_conditions(plate_filter)
    query = sql.SQL(
        """
        SELECT camera_id, site_id, count(*), min(captured_at), max(captured_at), sum(confidence)
        FROM plate_events WHERE {} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
        """
    ).format(all_of(conditions))
    rows = connection.execute(query, parameters).fetchall()
    if not rows:
        return None
    latest = plates_page(connection, plate_filter, limit=limit)
    return PlateHistory([CameraHistory(*row) for row in rows], latest)
