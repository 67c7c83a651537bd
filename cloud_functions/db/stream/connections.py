"""WebSocket connections and what they subscribed to, as the API writes them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from cloud_functions.db.types import Connection

MAX_CONNECTIONS: Final = 20
"""Connections of one user or API key."""
MAX_ANONYMOUS: Final = 200
"""Connections of all callers without credentials together."""
MAX_SUBSCRIPTIONS: Final = 10
"""Subscriptions of a connection."""
TICKET_LIFETIME: Final = timedelta(seconds=30)

_CALLER: Final = "subject, caller, user_id, family, session_hash, key_id, groups, ends_at"
_VALUES: Final = (
    "%(subject)s, %(caller)s, %(user_id)s, %(family)s, %(session_hash)s, %(key_id)s, %(groups)s, %(ends_at)s"
)
_CONNECT: Final = f"INSERT INTO websocket_connections (id, {_CALLER}) VALUES (%(id)s, {_VALUES})"  # noqa: S608 - constants
_ADD_TICKET: Final = f"""
INSERT INTO websocket_tickets (ticket_hash, expires_at, {_CALLER}) VALUES (%(hash)s, now() + %(lifetime)s, {_VALUES})
"""  # noqa: S608 - constants
_USE_TICKET: Final = f"""
DELETE FROM websocket_tickets WHERE ticket_hash = %s RETURNING expires_at > now(), {_CALLER}
"""  # noqa: S608 - constants
_SUBSCRIBE: Final = """
INSERT INTO websocket_subscriptions (connection_id, name, filter, position) VALUES (%s, %s, %s, %s)
"""
_OLD_TICKETS: Final = """
DELETE FROM websocket_tickets WHERE ticket_hash IN (
    SELECT ticket_hash FROM websocket_tickets WHERE expires_at < now() LIMIT %s FOR UPDATE SKIP LOCKED)
"""


class TooManyConnectionsError(Exception):
    """The caller has the maximum number of connections."""


class TooManySubscriptionsError(Exception):
    """The connection has ``MAX_SUBSCRIPTIONS``."""


@dataclass(frozen=True, slots=True)
class StreamCaller:
    """Who is connected, by the row that authorizes them: the connection ends when that row does."""

    subject: str
    """Whose connections are counted."""
    caller: Literal["anonymous", "token", "session", "api_key", "issuer"] = "anonymous"
    user_id: UUID | None = None
    family: UUID | None = None
    """Session of an access token."""
    session_hash: bytes | None = None
    """Of a session cookie."""
    key_id: UUID | None = None
    groups: list[str] | None = None
    """The limit to camera groups of a caller whose row is not in the database."""
    ends_at: datetime | None = None
    """When an issuer's token expires."""


def add_connection(connection: Connection, connection_id: str, caller: StreamCaller) -> None:
    """Store a new connection; raise TooManyConnectionsError."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('vedette websocket ' || %s))", [caller.subject])
    row = connection.execute(
        "SELECT count(*) FROM websocket_connections WHERE subject = %s", [caller.subject]
    ).fetchone()
    most = MAX_ANONYMOUS if caller.caller == "anonymous" else MAX_CONNECTIONS
    if row is not None and row[0] >= most:
        raise TooManyConnectionsError
    connection.execute(_CONNECT, asdict(caller) | {"id": connection_id})


def remove_connection(connection: Connection, connection_id: str) -> None:
    """Delete a connection with its subscriptions."""
    connection.execute("DELETE FROM websocket_connections WHERE id = %s", [connection_id])


def subscribe(
    connection: Connection, connection_id: str, name: str, stored_filter: dict[str, Any], *, position: int
) -> bool:
    """Add a subscription, or replace the one with this name; return False if the connection is not stored (any more).

    Raises TooManySubscriptionsError.
    """
    if not _lock(connection, connection_id):
        return False
    unsubscribe(connection, connection_id, name)
    row = connection.execute(
        "SELECT count(*) FROM websocket_subscriptions WHERE connection_id = %s", [connection_id]
    ).fetchone()
    if row is not None and row[0] >= MAX_SUBSCRIPTIONS:
        raise TooManySubscriptionsError
    connection.execute(_SUBSCRIBE, [connection_id, name, Jsonb(stored_filter), position])
    return True


def unsubscribe(connection: Connection, connection_id: str, name: str) -> bool:
    """Remove the subscription; return whether there was one."""
    query = "DELETE FROM websocket_subscriptions WHERE connection_id = %s AND name = %s"
    return connection.execute(query, [connection_id, name]).rowcount > 0


def add_ticket(connection: Connection, ticket_hash: bytes, caller: StreamCaller) -> None:
    """Store a ticket, which opens one connection of the caller."""
    connection.execute(_ADD_TICKET, asdict(caller) | {"hash": ticket_hash, "lifetime": TICKET_LIFETIME})


def use_ticket(connection: Connection, ticket_hash: bytes) -> StreamCaller | None:
    """Delete the ticket and return whose it is; None if it is unknown, used or expired."""
    row = connection.execute(_USE_TICKET, [ticket_hash]).fetchone()
    if row is None or not row[0]:
        return None
    subject, caller, user_id, family, session_hash, *rest = row[1:]
    return StreamCaller(subject, caller, user_id, family, None if session_hash is None else bytes(session_hash), *rest)


def purge_tickets(connection: Connection, *, limit: int) -> int:
    """Delete at most ``limit`` expired tickets; return how many."""
    return connection.execute(_OLD_TICKETS, [limit]).rowcount


def _lock(connection: Connection, connection_id: str) -> bool:
    query = "SELECT FROM websocket_connections WHERE id = %s FOR NO KEY UPDATE"
    return connection.execute(query, [connection_id]).fetchone() is not None
