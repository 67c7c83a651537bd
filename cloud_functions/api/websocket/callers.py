"""Who opens a connection: the credentials of its handshake, or a ticket."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request

from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.security.permissions import Principal
from cloud_functions.db.stream.connections import StreamCaller, use_ticket

_MAX_TICKET: Final = 200


async def caller_of_handshake(deps: Dependencies, event: Mapping[str, Any]) -> StreamCaller:
    """Return the caller of a ``$connect`` event; raise the 401 or 403 Problem.

    A ticket in the query, which is used up, goes before other credentials.
    """
    ticket = (event.get("queryStringParameters") or {}).get("ticket")
    if ticket is not None:
        caller = None
        if len(ticket) <= _MAX_TICKET:
            caller = await deps.database.run(lambda connection: use_ticket(connection, ticket_hash(ticket)))
        if caller is None:
            raise Problem(401, "invalid-token", "The ticket is invalid, was used or has expired. Get another one.")
        return caller
    if deps.stream.needs_ticket:
        raise Problem(401, "not-authenticated", "Get a ticket with POST /api/v1/websocket/tickets, and pass it.")
    return stream_caller(await deps.authorizer.authorize(_handshake_request(event), "events:read"))


def stream_caller(principal: Principal) -> StreamCaller:
    """Return what is stored of a caller."""
    credential = principal.credential
    groups = None if principal.groups is None else list(principal.groups)
    if credential is None:
        return StreamCaller("anonymous", groups=groups)
    return StreamCaller(
        subject=f"{principal.kind}:{principal.user_id or principal.name}",
        caller=credential.kind,
        user_id=principal.user_id,
        family=credential.family,
        session_hash=credential.session_hash,
        key_id=credential.key_id,
        groups=groups,
        ends_at=credential.ends_at,
    )


def ticket_hash(ticket: str) -> bytes:
    """Return what is stored of a ticket."""
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()


def _handshake_request(event: Mapping[str, Any]) -> Request:
    """Return the handshake as a request.

    It is no read for the check of a cookie's origin: a page of another site can open a WebSocket and read from it, so
    the cookie counts only with an ``Origin`` of this API.
    """
    headers: Mapping[str, list[str]] = event.get("multiValueHeaders") or {
        name: [value] for name, value in (event.get("headers") or {}).items()
    }
    context: Mapping[str, Any] = event.get("requestContext") or {}
    address = (context.get("identity") or {}).get("sourceIp")
    return Request(
        {
            "type": "http",
            "method": "POST",
            "scheme": context.get("scheme", "https"),
            "path": "/api/v1/websocket",
            "query_string": b"",
            "headers": [
                (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
                for name, values in headers.items()
                for value in values
                if name.lower() != "sec-fetch-site"  # so that the origin alone decides
            ],
            "client": None if address is None else (address, 0),
        }
    )
