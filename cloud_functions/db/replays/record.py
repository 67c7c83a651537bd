"""Replays as values: request, find, list, cancel and purge them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from cloud_functions.db.cameras.scope import CameraScope, limited, scope_parameters
from cloud_functions.db.events.filter import EventFilter, all_of, event_conditions
from cloud_functions.db.events.time_buckets import time_conditions
from cloud_functions.db.types import Connection, Row
from cloud_functions.db.webhooks.record import stored_filter

MAX_OPEN: Final = 10
"""Replays that may be open at once."""
_IN_SCOPE: Final[LiteralString] = "groups <> '{}' AND groups <@ %(scope)s::text[]"
_COLUMNS: Final[LiteralString] = (
    "id, target, webhook_id, start_time, end_time, filter, groups, requested_by, events, status, error, sent,"
    " position_time, position_id, created_at, finished_at"
)
_SELECT: Final[LiteralString] = "SELECT " + _COLUMNS + " FROM replays WHERE "  # noqa: S608 - constants
_COUNT: Final[LiteralString] = "SELECT count(*) FROM replays WHERE true"
_ADD: Final = """
INSERT INTO replays (id, target, webhook_id, start_time, end_time, filter, groups, requested_by, events)
VALUES (%(id)s, %(target)s, %(webhook_id)s, %(start_time)s, %(end_time)s, %(filter)s, %(groups)s, %(requested_by)s,
    %(events)s)
"""
_CANCEL: Final = """
UPDATE replays SET status = 'cancelled', finished_at = now() WHERE id = %s AND status IN ('pending', 'running')
"""
_OLD: Final = """
DELETE FROM replays WHERE id = ANY (ARRAY(
    SELECT id FROM replays WHERE finished_at < now() - %(age)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""


class TooManyReplaysError(Exception):
    """There are ``MAX_OPEN`` open replays already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReplay:
    """A replay to store."""

    id: UUID
    target: str
    webhook_id: UUID | None
    start_time: datetime
    end_time: datetime
    """Exclusive."""
    filter: dict[str, Any]
    """Conditions by the names of the parameters of ``GET /events``; all must hold."""
    groups: list[str] | None
    """Slugs of the camera groups it is limited to; None for no limit."""
    requested_by: str

    @property
    def event_filter(self) -> EventFilter:
        """The events to send."""
        return replace(stored_filter(self.filter, self.groups), start=self.start_time, end=self.end_time)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReplay(NewReplay):
    """A replay and how far it has come."""

    events: int
    """That matched when it was requested."""
    status: str
    error: str | None
    sent: int
    position_time: datetime | None
    """``timestamp`` and ``id`` of the last event that was sent."""
    position_id: int | None
    created_at: datetime
    finished_at: datetime | None


def count_up_to(connection: Connection, event_filter: EventFilter, *, limit: int) -> int:
    """Return how many events match; ``limit`` + 1 if there are more than ``limit``."""
    conditions, parameters = event_conditions(event_filter)
    conditions += time_conditions(event_filter.span, "timestamp", parameters, "span")
    query = sql.SQL("SELECT count(*) FROM (SELECT FROM events WHERE {} LIMIT %(most)s) AS matching")
    row = connection.execute(query.format(all_of(conditions)), parameters | {"most": limit + 1}).fetchone()
    return 0 if row is None else row[0]


def add_replay(connection: Connection, new: NewReplay, *, events: int) -> None:
    """Store a replay; raise TooManyReplaysError."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('vedette replays'))")  # two may be requested at once
    row = connection.execute("SELECT count(*) FROM replays WHERE status IN ('pending', 'running')").fetchone()
    if row is not None and row[0] >= MAX_OPEN:
        raise TooManyReplaysError
    connection.execute(_ADD, asdict(new) | {"filter": Jsonb(new.filter), "events": events})


def find_replay(
    connection: Connection, replay_id: UUID, *, scope: CameraScope | None = None, lock: bool = False
) -> StoredReplay | None:
    """Return one replay in the scope, or None. ``lock`` waits until the chunk that is being sent has been sent."""
    query = _SELECT + "id = %(id)s" + limited(_IN_SCOPE, scope) + (" FOR UPDATE" if lock else "")
    row = connection.execute(query, scope_parameters(scope) | {"id": replay_id}).fetchone()
    return None if row is None else stored_replay(row)


def list_replays(
    connection: Connection, *, limit: int, offset: int, scope: CameraScope | None = None
) -> tuple[list[StoredReplay], int]:
    """Return one page of the replays in the scope, newest first, and their number."""
    where = limited(_IN_SCOPE, scope)
    parameters = scope_parameters(scope) | {"limit": limit, "offset": offset}
    query = _SELECT + "true" + where + " ORDER BY created_at DESC, id LIMIT %(limit)s OFFSET %(offset)s"
    rows = connection.execute(query, parameters).fetchall()
    counted = connection.execute(_COUNT + where, parameters).fetchone()
    return [stored_replay(row) for row in rows], 0 if counted is None else counted[0]


def cancel_replay(connection: Connection, replay_id: UUID) -> bool:
    """Cancel a replay; return False if it had ended."""
    return connection.execute(_CANCEL, [replay_id]).rowcount > 0


def purge_old_replays(connection: Connection, *, older_than: timedelta, limit: int) -> int:
    """Delete replays that ended longer ago; return how many."""
    return connection.execute(_OLD, {"age": older_than, "limit": limit}).rowcount


def stored_replay(row: Row) -> StoredReplay:
    """Return the replay of a row of all columns."""
    names = [name.strip() for name in _COLUMNS.split(",")]
    return StoredReplay(**dict(zip(names, row, strict=True)))
