"""Deletes events in the caller's transaction; triggers update the rollups.

A deleted event that its device sends again (after an outbox was restored or a queue redriven) is stored again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg import sql

from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.events.filter import EventFilter, all_of, event_conditions
from cloud_functions.db.events.queries import find_event
from cloud_functions.db.events.time_buckets import time_conditions
from cloud_functions.db.types import Connection
from shared.storage_keys import parse_snapshot_key


class SnapshotPath(NamedTuple):
    """The object key of a snapshot, below the prefix of its device."""

    device_id: str
    path: str


@dataclass(frozen=True, slots=True)
class Deletion:
    """The number of deleted events, and the snapshots to which no event refers any more."""

    events: int
    snapshots: list[SnapshotPath]


class DeletedEvent(NamedTuple):
    """The columns of a deleted event that identify its snapshot."""

    device_id: str
    camera_id: str
    timestamp: datetime
    path: str | None


def delete_event(connection: Connection, ref: int | UUID, *, scope: CameraScope | None = None) -> Deletion:
    """Delete one event; ``events`` is 0 if there is none in the scope."""
    event = find_event(connection, ref, scope=scope)
    if event is None:
        return Deletion(events=0, snapshots=[])
    return _delete(connection, [UUID(event.event_id)], [event.timestamp])


def delete_events(connection: Connection, event_filter: EventFilter, *, limit: int) -> Deletion:
    """Delete the oldest ``limit`` events that match."""
    conditions, parameters = event_conditions(event_filter)
    conditions += time_conditions(event_filter.span, "timestamp", parameters, "span")
    parameters["limit"] = limit
    query = sql.SQL(
        'SELECT event_id, "timestamp" FROM events WHERE {} ORDER BY "timestamp", id LIMIT %(limit)s FOR UPDATE'
    ).format(all_of(conditions))
    rows = connection.execute(query, parameters).fetchall()
    if not rows:
        return Deletion(events=0, snapshots=[])
    return _delete(connection, [row[0] for row in rows], [row[1] for row in rows])


def _delete(connection: Connection, event_ids: list[UUID], timestamps: list[datetime]) -> Deletion:
    """Delete by primary key; the time bounds exclude the partitions of other months."""
    rows = connection.execute(
        """
        DELETE FROM events USING unnest(%(event_ids)s::uuid[], %(timestamps)s::timestamptz[]) AS doomed (event_id, at)
        WHERE events.event_id = doomed.event_id AND events."timestamp" = doomed.at
          AND events."timestamp" BETWEEN %(first)s AND %(last)s
        RETURNING events.device_id, events.camera_id, events."timestamp", events.snapshot_path
        """,
        {"event_ids": event_ids, "timestamps": timestamps, "first": min(timestamps), "last": max(timestamps)},
    ).fetchall()
    deleted = [DeletedEvent(*row) for row in rows]
    return Deletion(events=len(deleted), snapshots=unreferenced_snapshots(connection, deleted))


def unreferenced_snapshots(connection: Connection, deleted: list[DeletedEvent]) -> list[SnapshotPath]:
    """Return the snapshots of ``deleted`` to which no other event refers.

    An event that refers to a snapshot has the camera and the time in the snapshot's key, or is recorded in
    ``event_odd_times``. An event of an earlier release may instead share camera and time with the deleted event.
    """
    shown = {SnapshotPath(event.device_id, event.path): event for event in deleted if event.path is not None}
    if not shown:
        return []
    candidates = [(snapshot, event.camera_id, event.timestamp) for snapshot, event in shown.items()]
    candidates += [(snapshot, *key) for snapshot in shown if (key := parse_snapshot_key(snapshot.path)) is not None]
    times = [at for _, _, at in candidates]
    rows = connection.execute(
        """
        SELECT DISTINCT events.device_id, events.snapshot_path
        FROM events JOIN unnest(%(devices)s::text[], %(cameras)s::text[], %(times)s::timestamptz[], %(paths)s::text[])
             AS shown (device_id, camera_id, at, path)
          ON events.camera_id = shown.camera_id AND events."timestamp" = shown.at
         AND events.device_id = shown.device_id AND events.snapshot_path = shown.path
        WHERE events."timestamp" BETWEEN %(first)s AND %(last)s
        """,
        {
            "devices": [snapshot.device_id for snapshot, _, _ in candidates],
            "cameras": [camera_id for _, camera_id, _ in candidates],
            "times": times,
            "paths": [snapshot.path for snapshot, _, _ in candidates],
            "first": min(times),
            "last": max(times),
        },
    )
    unshown = shown.keys() - {SnapshotPath(*row) for row in rows}
    return sorted(unshown - _shown_by_unusual_events(connection, unshown))


def _shown_by_unusual_events(connection: Connection, snapshots: Collection[SnapshotPath]) -> set[SnapshotPath]:
    if not snapshots:
        return set()
    rows = connection.execute(
        """
        SELECT DISTINCT odd.device_id, odd.snapshot_path
        FROM unnest(%s::text[], %s::text[]) AS shown (device_id, path)
        JOIN event_odd_times AS odd ON odd.snapshot_path = shown.path AND odd.device_id = shown.device_id
        JOIN events ON events.event_id = odd.event_id AND events."timestamp" = odd."timestamp"
        """,
        [[snapshot.device_id for snapshot in snapshots], [snapshot.path for snapshot in snapshots]],
    )
    return {SnapshotPath(*row) for row in rows}
