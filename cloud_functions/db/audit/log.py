"""The audit log: who did or viewed what, and how it ended. A trigger numbers and chains the entries (``chain``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from cloud_functions.db.types import Connection
from shared.log_lines import in_one_line

ActorKind = Literal["user", "api_key", "anonymous", "command"]
Outcome = Literal["success", "denied", "failure"]

_VALUES: Final = """
    %(actor_kind)s, %(actor_id)s, %(actor_name)s, %(action)s, %(target)s, %(outcome)s, %(reason)s, %(address)s,
    %(request_id)s, %(details)s::jsonb
"""
_COLUMNS: Final = "actor_kind, actor_id, actor_name, action, target, outcome, reason, address, request_id, details"
_ADD: Final = f"INSERT INTO audit_log ({_COLUMNS}) SELECT {_VALUES}"
_ADD_IF_CHANGED: Final = f"{_ADD} WHERE pg_current_xact_id_if_assigned() IS NOT NULL"
_ADD_WITHOUT_WAITING: Final = f"{_ADD} FROM set_config('synchronous_commit', 'off', true)"
_CONDITIONS: Final = """
WHERE (%(actor)s::text IS NULL OR lower(actor_name) = lower(%(actor)s))
  AND (%(action)s::text IS NULL OR action = %(action)s)
  AND (%(outcome)s::text IS NULL OR outcome = %(outcome)s)
  AND (%(target)s::text IS NULL OR position(lower(%(target)s) IN lower(target)) > 0)
  AND (%(plate)s::text[] IS NULL OR details ->> 'plate' = ANY (%(plate)s) OR details -> 'plate_tokens' ?| %(plate)s)
  AND (%(start)s::timestamptz IS NULL OR at >= %(start)s) AND (%(end)s::timestamptz IS NULL OR at < %(end)s)
"""
_LISTED: Final = f"chain, sequence, at, {_COLUMNS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What is to be recorded. It never holds a secret."""

    actor_kind: ActorKind
    actor_id: UUID | None = None
    actor_name: str
    action: str
    """Name of the operation of the API, or of the command."""
    target: str | None = None
    """What it was done to: path parameters as ``name=value``."""
    outcome: Outcome = "success"
    reason: str | None = None
    """Type of the problem if the outcome is not ``success``."""
    address: str | None = None
    request_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry of the log, in the order of the select list."""

    chain: int
    sequence: int
    at: datetime
    actor_kind: str
    actor_id: UUID | None
    actor_name: str
    action: str
    target: str | None
    outcome: str
    reason: str | None
    address: str | None
    request_id: str | None
    details: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Conditions of a list, all of which must be met; None for no condition."""

    actor: str | None = None
    action: str | None = None
    outcome: str | None = None
    target: str | None = None
    """Part of the target, in any case."""
    plate: list[str] | None = None
    """A searched plate: its normal form, and its tokens."""
    start: datetime | None = None
    end: datetime | None = None
    """The first time that is not included."""


def add_entry(connection: Connection, entry: AuditEntry) -> None:
    """Add an entry in the transaction of what it describes."""
    connection.execute(_ADD, _parameters(entry))


def add_entry_if_changed(connection: Connection, entry: AuditEntry) -> bool:
    """Add an entry if this transaction has changed something; return whether it has."""
    return connection.execute(_ADD_IF_CHANGED, _parameters(entry)).rowcount > 0


def add_entry_without_waiting(connection: Connection, entry: AuditEntry) -> None:
    """Add an entry in a transaction of its own, whose commit does not wait for the disk.

    A crash of the database server can lose the entries of its last moments, but no older ones, and the chain stays
    intact.
    """
    connection.execute(_ADD_WITHOUT_WAITING, _parameters(entry))


def list_entries(
    connection: Connection, where: AuditFilter, *, limit: int, offset: int = 0
) -> tuple[list[StoredEntry], int]:
    """Return one page of the entries that meet the conditions, newest first, and the number of all of them."""
    values = {name: getattr(where, name) for name in AuditFilter.__dataclass_fields__}
    rows = connection.execute(
        f"SELECT {_LISTED} FROM audit_log {_CONDITIONS}"  # noqa: S608
        " ORDER BY at DESC, chain, sequence DESC LIMIT %(limit)s OFFSET %(offset)s",
        values | {"limit": limit, "offset": offset},
    ).fetchall()
    total = connection.execute(f"SELECT count(*) FROM audit_log {_CONDITIONS}", values).fetchone()  # noqa: S608
    return [StoredEntry(*row) for row in rows], 0 if total is None else total[0]


def _parameters(entry: AuditEntry) -> dict[str, Any]:
    values = {name: _storable(getattr(entry, name)) for name in AuditEntry.__dataclass_fields__}
    return values | {"details": json.dumps(values["details"], ensure_ascii=False)}


def _storable(value: Any) -> Any:
    """Return the value with all its texts in one line.

    PostgreSQL rejects a NUL in a text: one in a path would keep the request out of the log.
    """
    if isinstance(value, str):
        return in_one_line(value)
    if isinstance(value, Mapping):
        return {in_one_line(str(name)): _storable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(inner) for inner in value]
    return value
