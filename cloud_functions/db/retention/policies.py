"""Retention policies: stores them, and finds those of an event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

import psycopg

from cloud_functions.db.types import Connection, Row

_COLUMNS: Final[LiteralString] = (
    "p.policy_id, p.camera_id, p.group_id, g.slug, p.site_id, p.event_type, p.max_age_days, p.max_bytes, p.created_at,"
    " p.updated_at"
)
_SELECT: Final[LiteralString] = (
    "SELECT " + _COLUMNS + " FROM retention_policies AS p LEFT JOIN camera_groups AS g ON g.id = p.group_id "  # noqa: S608
)
_INSERT: Final = """
INSERT INTO retention_policies (camera_id, group_id, site_id, event_type, max_age_days, max_bytes)
VALUES (%(camera_id)s, %(group_id)s, %(site_id)s, %(event_type)s, %(max_age_days)s, %(max_bytes)s)
RETURNING policy_id
"""
_UPDATE: Final = """
UPDATE retention_policies SET camera_id = %(camera_id)s, group_id = %(group_id)s, site_id = %(site_id)s,
    event_type = %(event_type)s, max_age_days = %(max_age_days)s, max_bytes = %(max_bytes)s, updated_at = now()
WHERE policy_id = %(policy_id)s
"""


class PolicyExistsError(Exception):
    """Another policy has the same target."""


class PolicyFields(NamedTuple):
    """What a policy is for, and its limits. At most one of the first three is set."""

    camera_id: str | None
    group_id: UUID | None
    site_id: str | None
    event_type: str | None
    max_age_days: int | None
    max_bytes: int | None


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """A stored policy."""

    policy_id: int
    camera_id: str | None
    group_id: UUID | None
    group: str | None
    """The group's slug."""
    site_id: str | None
    event_type: str | None
    max_age_days: int | None
    max_bytes: int | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> RetentionPolicy:
        """Return the policy in a row."""
        return cls(*row)


def list_policies(connection: Connection, *, limit: int, offset: int) -> tuple[list[RetentionPolicy], int]:
    """Return one page of the policies in the order in which they were created, and the number on all pages."""
    rows = connection.execute(_SELECT + "ORDER BY p.policy_id LIMIT %s OFFSET %s", [limit, offset]).fetchall()
    total = connection.execute("SELECT count(*) FROM retention_policies").fetchone()
    return [RetentionPolicy.from_row(row) for row in rows], 0 if total is None else total[0]


def find_policy(connection: Connection, policy_id: int) -> RetentionPolicy | None:
    """Return one policy."""
    row = connection.execute(_SELECT + "WHERE p.policy_id = %s", [policy_id]).fetchone()
    return None if row is None else RetentionPolicy.from_row(row)


def create_policy(connection: Connection, fields: PolicyFields) -> RetentionPolicy:
    """Store a new policy. Raises PolicyExistsError if one has the same target."""
    try:
        row = connection.execute(_INSERT, fields._asdict()).fetchone()
    except psycopg.errors.UniqueViolation:
        raise PolicyExistsError from None
    policy = None if row is None else find_policy(connection, row[0])
    assert policy is not None  # noqa: S101 - RETURNING after a plain INSERT
    return policy


def replace_policy(connection: Connection, policy_id: int, fields: PolicyFields) -> RetentionPolicy | None:
    """Replace a policy; None if there is none with this id. Raises PolicyExistsError."""
    try:
        connection.execute(_UPDATE, fields._asdict() | {"policy_id": policy_id})
    except psycopg.errors.UniqueViolation:
        raise PolicyExistsError from None
    return find_policy(connection, policy_id)


def delete_policy(connection: Connection, policy_id: int) -> bool:
    """Delete a policy; return whether there was one."""
    return connection.execute("DELETE FROM retention_policies WHERE policy_id = %s", [policy_id]).rowcount > 0
