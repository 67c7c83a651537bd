"""Deletes events in the caller's transaction; triggers update the rollups and record the pictures of the events.

Maintenance deletes the pictures that nothing shows any more. ``with_pictures`` also deletes the requested snapshots
that have such a picture. A deleted event that its device sends again (after an outbox was restored or a queue redriven)
is stored again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.events.filter import EventFilter, all_of, event_conditions
from cloud_functions.db.events.queries import find_event
from cloud_functions.db.events.time_buckets import time_conditions
from cloud_functions.db.retention.protection import EVENT_NOT_HELD, has_active_holds, holds_of_event, lock_holds
from cloud_functions.db.snapshots.expired import record_expired_snapshots
from cloud_functions.db.snapshots.references import SnapshotPath, pictures_of, unreferenced_snapshots
from cloud_functions.db.types import Connection
from shared.storage_keys import is_snapshot_key


@dataclass(frozen=True, slots=True)
class Deletion:
    """The number of deleted events, and the pictures that no event and no plate read shows any more."""

    events: int
    snapshots: list[SnapshotPath]
    on_hold: int = 0
    """Events that match and are kept, because a legal hold protects them."""
    holds: list[str] = field(default_factory=list[str])
    """Names of the holds that protect the one event that was to be deleted."""


def delete_event(
    connection: Connection, ref: int | UUID, *, scope: CameraScope | None = None, with_pictures: bool = False
) -> Deletion:
    """Delete one event; ``events`` is 0 if there is none in the scope, or if it is on hold."""
    lock_holds(connection)
    event = find_event(connection, ref, scope=scope)
    if event is None:
        return Deletion(events=0, snapshots=[])
    if holds := holds_of_event(connection, UUID(event.event_id), event.timestamp):
        return Deletion(events=0, snapshots=[], on_hold=1, holds=holds)
    return _delete(connection, [UUID(event.event_id)], [event.timestamp], with_pictures=with_pictures)


def delete_events(
    connection: Connection, event_filter: EventFilter, *, limit: int, with_pictures: bool = False
) -> Deletion:
    """Delete the oldest ``limit`` events that match and are not on hold."""
    lock_holds(connection)
    conditions, parameters = event_conditions(event_filter)
    conditions += time_conditions(event_filter.span, "timestamp", parameters, "span")
    parameters["limit"] = limit
    on_hold = _count_held(connection, conditions, parameters) if has_active_holds(connection) else 0
    conditions.append(sql.SQL(EVENT_NOT_HELD))
    query = sql.SQL(
        'SELECT event_id, "timestamp" FROM events WHERE {} ORDER BY "timestamp", id LIMIT %(limit)s FOR UPDATE'
    ).format(all_of(conditions))
    rows = connection.execute(query, parameters).fetchall()
    if not rows:
        return Deletion(events=0, snapshots=[], on_hold=on_hold)
    deletion = _delete(connection, [row[0] for row in rows], [row[1] for row in rows], with_pictures=with_pictures)
    return replace(deletion, on_hold=on_hold)


def _count_held(connection: Connection, conditions: list[sql.Composable], parameters: dict[str, Any]) -> int:
    query = sql.SQL("SELECT count(*) FROM events WHERE {} AND NOT {}").format(
        all_of(conditions), sql.SQL(EVENT_NOT_HELD)
    )
    row = connection.execute(query, parameters).fetchone()
    return 0 if row is None else row[0]


def _delete(
    connection: Connection, event_ids: list[UUID], timestamps: list[datetime], *, with_pictures: bool
) -> Deletion:
    """Delete by primary key; the time bounds exclude the partitions of other months."""
    rows = connection.execute(
        """
        DELETE FROM events USING unnest(%(event_ids)s::uuid[], %(timestamps)s::timestamptz[]) AS doomed (event_id, at)
        WHERE events.event_id = doomed.event_id AND events."timestamp" = doomed.at
          AND events."timestamp" BETWEEN %(first)s AND %(last)s
        RETURNING events.device_id, events.camera_id, events."timestamp", events.snapshot_path,
                  CASE events.event_type WHEN 'anpr' THEN events.event_data ->> 'plate_image_key' END
        """,
        {"event_ids": event_ids, "timestamps": timestamps, "first": min(timestamps), "last": max(timestamps)},
    ).fetchall()
    snapshots = unreferenced_snapshots(connection, pictures_of(rows))
    if with_pictures:
        record_expired_snapshots(connection, [one for one in snapshots if is_snapshot_key(one.path)])
    return Deletion(events=len(rows), snapshots=snapshots)
