"""``POST /websocket/tickets``: for clients that cannot send headers with a WebSocket's handshake, such as browsers."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import envelope_response
from cloud_functions.api.http.responses import NO_STORE
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.api.websocket.callers import stream_caller, ticket_hash
from cloud_functions.api.websocket.responses import TicketEnvelope
from cloud_functions.db.stream.connections import TICKET_LIFETIME, add_ticket

router = APIRouter(prefix="/websocket", tags=["WebSocket"], route_class=StrictRoute)
_PATH = "/api/v1/websocket"


@router.post(
    "/tickets",
    name="create_websocket_ticket",
    status_code=201,
    response_model=TicketEnvelope,
    summary="Get a ticket for the WebSocket",
)
async def post_ticket(
    request: Request, deps: Deps, caller: Annotated[Principal, Depends(require_in_scope("events:read"))]
) -> Response:
    """A ticket opens one connection within 30 seconds, with the caller's rights. The connection ends with the caller's
    session."""
    ticket = secrets.token_urlsafe(32)
    await deps.database.run(lambda connection: add_ticket(connection, ticket_hash(ticket), stream_caller(caller)))
    scheme = "wss" if request.url.scheme == "https" else "ws"
    url = deps.stream.url or f"{scheme}://{request.url.netloc}{request.scope.get('root_path', '')}{_PATH}"
    content = {"ticket": ticket, "expires_in": int(TICKET_LIFETIME.total_seconds()), "url": url}
    return envelope_response(content, status=201, headers=NO_STORE)
