"""Watch-lists and their patterns: the API edits them, ingest loads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import errors

from cloud_functions.db.types import Connection
from cloud_functions.plates.patterns import WatchPattern

_LIST: Final = """
SELECT watchlist_id, name, description, enabled, created_at, updated_at,
       (SELECT count(*) FROM watchlist_patterns AS p WHERE p.watchlist_id = w.watchlist_id)
FROM watchlists AS w
"""
_PATTERNS: Final = (
    "SELECT pattern_id, watchlist_id, kind, pattern, max_distance, reason, expires_at FROM watchlist_patterns"
)
_ACTIVE: Final = """
SELECT pattern_id FROM watchlist_patterns JOIN watchlists USING (watchlist_id)
WHERE enabled AND (expires_at IS NULL OR expires_at > now())
"""
_ADD: Final = """
INSERT INTO watchlist_patterns (watchlist_id, kind, pattern, max_distance, reason, expires_at)
SELECT %s, unnest(%s::text[]), unnest(%s::text[]), unnest(%s::int[]), unnest(%s::text[]), unnest(%s::timestamptz[])
ON CONFLICT DO NOTHING
"""
# The expressions are those of the unique index, so that each pattern needs one index lookup.
_MATCHING: Final = """
SELECT p.pattern_id, p.watchlist_id, p.kind, p.pattern, p.max_distance, p.reason, p.expires_at
FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[], %s::timestamptz[]) WITH ORDINALITY
     AS given (kind, pattern, max_distance, reason, expires_at, position)
JOIN watchlist_patterns AS p ON p.watchlist_id = %s AND p.kind = given.kind AND p.pattern = given.pattern
 AND COALESCE(p.max_distance, -1) = COALESCE(given.max_distance, -1)
 AND md5(COALESCE(p.reason, '')) = md5(COALESCE(given.reason, ''))
 AND COALESCE(p.expires_at, 'infinity') = COALESCE(given.expires_at, 'infinity')
ORDER BY position
"""


@dataclass(frozen=True, slots=True)
class Watchlist:
    """A named list, and its number of patterns."""

    watchlist_id: int
    name: str
    description: str | None
    enabled: bool
    created_at: datetime
    updated_at: datetime
    patterns: int


class NewPattern(NamedTuple):
    """A pattern to store, validated by ``plates.patterns.check_pattern``."""

    kind: str
    text: str
    max_distance: int | None
    reason: str | None
    expires_at: datetime | None


class AddedPatterns(NamedTuple):
    """The requested patterns as stored, in the order of the request, and how many of them are new."""

    patterns: list[WatchPattern]
    new: int


class NameTakenError(Exception):
    """Another watch-list has this name."""


def list_watchlists(connection: Connection, *, limit: int | None = None, offset: int = 0) -> list[Watchlist]:
    """Return watch-lists sorted by name; all of them without a ``limit``."""
    return [Watchlist(*row) for row in connection.execute(_LIST + " ORDER BY name LIMIT %s OFFSET %s", [limit, offset])]


def count_watchlists(connection: Connection) -> int:
    """Return the number of watch-lists."""
    row = connection.execute("SELECT count(*) FROM watchlists").fetchone()
    return 0 if row is None else row[0]


def find_watchlist(connection: Connection, watchlist_id: int) -> Watchlist | None:
    """Return one watch-list, or None."""
    row = connection.execute(_LIST + " WHERE watchlist_id = %s", [watchlist_id]).fetchone()
    return None if row is None else Watchlist(*row)


def create_watchlist(connection: Connection, *, name: str, description: str | None, enabled: bool) -> Watchlist:
    """Create a watch-list without patterns; raise NameTakenError if the name is in use."""
    statement = "INSERT INTO watchlists (name, description, enabled) VALUES (%s, %s, %s) RETURNING watchlist_id"
    number = _execute_with_unique_name(connection, statement, [name, description, enabled])
    watchlist = None if number is None else find_watchlist(connection, number)
    assert watchlist is not None  # noqa: S101 - created in this transaction
    return watchlist


def change_watchlist(
    connection: Connection, watchlist_id: int, *, name: str, description: str | None, enabled: bool
) -> Watchlist | None:
    """Replace a watch-list's name, description and ``enabled``; return it, or None if it does not exist."""
    statement = (
        "UPDATE watchlists SET name = %s, description = %s, enabled = %s, updated_at = now() WHERE watchlist_id = %s"
        " RETURNING watchlist_id"
    )
    number = _execute_with_unique_name(connection, statement, [name, description, enabled, watchlist_id])
    return None if number is None else find_watchlist(connection, number)


def delete_watchlist(connection: Connection, watchlist_id: int) -> bool:
    """Delete a watch-list and its patterns; return whether there was one."""
    return connection.execute("DELETE FROM watchlists WHERE watchlist_id = %s", [watchlist_id]).rowcount > 0


def add_patterns(connection: Connection, watchlist_id: int, patterns: Sequence[NewPattern]) -> AddedPatterns | None:
    """Add the patterns that a list does not contain yet; None if the list does not exist.

    Idempotent: a pattern with the same kind, text, distance, reason and expiry is not added again.
    """
    if connection.execute(
        "SELECT FROM watchlists WHERE watchlist_id = %s FOR KEY SHARE", [watchlist_id]
    ).fetchone() is None:  # fmt: skip
        return None
    columns = [list(column) for column in zip(*patterns, strict=True)]
    added = connection.execute(_ADD, [watchlist_id, *columns]).rowcount
    stored = [WatchPattern(*row) for row in connection.execute(_MATCHING, [*columns, watchlist_id])]
    return AddedPatterns(stored, added)


def list_patterns(connection: Connection, watchlist_id: int, *, limit: int, offset: int = 0) -> list[WatchPattern]:
    """Return a list's patterns in insertion order."""
    rows = connection.execute(
        _PATTERNS + " WHERE watchlist_id = %s ORDER BY pattern_id LIMIT %s OFFSET %s",
        [watchlist_id, limit, offset],
    )
    return [WatchPattern(*row) for row in rows]


def find_pattern(connection: Connection, watchlist_id: int, pattern_id: int) -> WatchPattern | None:
    """Return one pattern of a list, or None."""
    row = connection.execute(
        _PATTERNS + " WHERE watchlist_id = %s AND pattern_id = %s",
        [watchlist_id, pattern_id],
    ).fetchone()
    return None if row is None else WatchPattern(*row)


def delete_pattern(connection: Connection, watchlist_id: int, pattern_id: int) -> bool:
    """Delete one pattern of a list; return whether there was one."""
    statement = "DELETE FROM watchlist_patterns WHERE watchlist_id = %s AND pattern_id = %s"
    return connection.execute(statement, [watchlist_id, pattern_id]).rowcount > 0


def watchlist_version(connection: Connection) -> int:
    """Return a number that increases with every committed change of a list."""
    row = connection.execute("SELECT version FROM watchlist_version").fetchone()
    return 0 if row is None else row[0]


def watchlist_names(connection: Connection) -> dict[int, str]:
    """Return the names of all lists, by id."""
    return dict(connection.execute("SELECT watchlist_id, name FROM watchlists").fetchall())


def active_pattern_numbers(connection: Connection) -> set[int]:
    """Return the ids of the unexpired patterns in enabled lists."""
    return {number for (number,) in connection.execute(_ACTIVE, binary=True)}


def load_patterns(connection: Connection, numbers: Iterable[int]) -> list[WatchPattern]:
    """Return the patterns with these ids, in no particular order."""
    query = _PATTERNS + " WHERE pattern_id = ANY(%b)"
    return [WatchPattern(*row) for row in connection.execute(query, [list(numbers)])]


def _execute_with_unique_name(connection: Connection, statement: Any, parameters: list[Any]) -> int | None:
    try:
        with connection.transaction():  # a savepoint: the caller's transaction stays usable
            row = connection.execute(statement, parameters).fetchone()
    except errors.UniqueViolation:
        raise NameTakenError from None
    return None if row is None else row[0]
