"""Legal holds: places, releases and lists them.

Placing a hold waits for the deletions that are running, so that every later one sees it (``protection``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

from cloud_functions.db.retention.protection import wait_for_deletions
from cloud_functions.db.types import Connection, Row

_COLUMNS: Final[LiteralString] = (
    "hold_id, name, reason, placed_by, placed_at, expires_at, released_at, released_by, release_reason,"
    " released_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AS is_active"
)
_PLACE: Final[LiteralString] = (
    "INSERT INTO legal_holds (name, reason, placed_by, expires_at)"  # noqa: S608
    " VALUES (%(name)s, %(reason)s, %(placed_by)s, %(expires_at)s) RETURNING " + _COLUMNS
)
_ADD_ITEM: Final = """
INSERT INTO legal_hold_items (hold_id, event_id, camera_id, starts_at, ends_at) VALUES (%s, %s, %s, %s, %s)
"""
_RELEASE: Final[LiteralString] = (
    "UPDATE legal_holds SET released_at = now(), released_by = %(by)s, release_reason = %(reason)s"  # noqa: S608
    " WHERE hold_id = %(hold_id)s AND released_at IS NULL RETURNING " + _COLUMNS
)
_WHERE_ACTIVE: Final[LiteralString] = (
    " FROM legal_holds WHERE %(active)s::boolean IS NULL OR"
    " (released_at IS NULL AND (expires_at IS NULL OR expires_at > now())) = %(active)s::boolean"
)
_LIST: Final[LiteralString] = (
    "SELECT " + _COLUMNS + _WHERE_ACTIVE + " ORDER BY hold_id DESC LIMIT %(limit)s OFFSET %(offset)s"
)
_ITEMS: Final = """
SELECT hold_id, event_id, camera_id, starts_at, ends_at FROM legal_hold_items WHERE hold_id = ANY (%s)
ORDER BY hold_id, item_id
"""


class HeldItem(NamedTuple):
    """One event, or the events of a camera (None: of every camera) in a time, both ends included (None: open)."""

    event_id: UUID | None
    camera_id: str | None
    starts_at: datetime | None
    ends_at: datetime | None


class NewHold(NamedTuple):
    """A hold that is to be placed; ``expires_at`` None: until it is released."""

    name: str
    reason: str
    placed_by: str
    expires_at: datetime | None
    items: Sequence[HeldItem]


@dataclass(frozen=True, slots=True)
class LegalHold:
    """One hold with what it protects. One that was released or has expired is not active."""

    hold_id: int
    name: str
    reason: str
    placed_by: str
    placed_at: datetime
    expires_at: datetime | None
    released_at: datetime | None
    released_by: str | None
    release_reason: str | None
    is_active: bool
    items: tuple[HeldItem, ...]


def place_hold(connection: Connection, hold: NewHold) -> LegalHold:
    """Place a hold. It waits for the deletions that are running."""
    wait_for_deletions(connection)
    row = connection.execute(_PLACE, hold._asdict()).fetchone()
    assert row is not None  # noqa: S101 - RETURNING after a plain INSERT
    with connection.cursor() as cursor:
        cursor.executemany(_ADD_ITEM, [(row[0], *item) for item in hold.items])
    return LegalHold(*row, items=tuple(hold.items))


def release_hold(connection: Connection, hold_id: int, *, by: str, reason: str | None) -> LegalHold | None:
    """Release a hold that was not released before; None if there is none with this id."""
    row = connection.execute(_RELEASE, {"hold_id": hold_id, "by": by, "reason": reason}).fetchone()
    return None if row is None else _with_items(connection, [row])[0]


def find_hold(connection: Connection, hold_id: int) -> LegalHold | None:
    """Return one hold, active or not."""
    row = connection.execute("SELECT " + _COLUMNS + " FROM legal_holds WHERE hold_id = %s", [hold_id]).fetchone()  # noqa: S608
    return None if row is None else _with_items(connection, [row])[0]


def list_holds(connection: Connection, *, active: bool | None, limit: int, offset: int) -> tuple[list[LegalHold], int]:
    """Return one page of the holds, newest first, and the number on all pages.

    ``active`` restricts them to active ones, or to released and expired ones.
    """
    rows = connection.execute(_LIST, {"active": active, "limit": limit, "offset": offset}).fetchall()
    total = connection.execute("SELECT count(*)" + _WHERE_ACTIVE, {"active": active}).fetchone()
    return _with_items(connection, rows), 0 if total is None else total[0]


def _with_items(connection: Connection, rows: Sequence[Row]) -> list[LegalHold]:
    items: dict[int, list[HeldItem]] = {row[0]: [] for row in rows}
    for hold_id, *item in connection.execute(_ITEMS, [list(items)]):
        items[hold_id].append(HeldItem(*item))
    return [LegalHold(*row, items=tuple(items[row[0]])) for row in rows]
