"""Handles the events of the WebSocket's gateway: connect, message and disconnect.

On AWS they come from API Gateway. Under uvicorn ``server`` makes the same events, so the same code runs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.websocket.callers import caller_of_handshake
from cloud_functions.api.websocket.requests import (
    MAX_MESSAGE_BYTES,
    MESSAGES,
    PingMessage,
    SubscribeMessage,
    UnsubscribeMessage,
)
from cloud_functions.db.cameras.groups import find_group
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.stream.connections import (
    MAX_SUBSCRIPTIONS,
    TooManyConnectionsError,
    TooManySubscriptionsError,
    add_connection,
    remove_connection,
    subscribe,
    unsubscribe,
)
from cloud_functions.db.stream.deliveries import limit_of
from cloud_functions.db.stream.order import (
    KEPT,
    ExpiredCursorError,
    UnknownCursorError,
    cursor_text,
    head_position,
    resumed_position,
)
from cloud_functions.db.types import Connection
from shared.errors import VedetteError

log = logging.getLogger(__name__)

Result = dict[str, Any]
"""``statusCode``, and for a message ``body``: the text that is sent to the client."""
_SHOWN: Final = 5


class _MessageError(Exception):
    """A message that cannot be carried out: the code and text that its client gets."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class StreamHandler:
    """Handles one event at a time."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps

    async def handle(self, event: Mapping[str, Any]) -> Result:
        """Carry out one event. A bad message is answered with an error, and changes nothing."""
        context = event["requestContext"]
        connection_id: str = context["connectionId"]
        try:
            match context.get("eventType"):
                case "CONNECT":
                    return await self._connect(connection_id, event)
                case "DISCONNECT":
                    await self._deps.database.run(lambda connection: remove_connection(connection, connection_id))
                    return {"statusCode": 200}
                case _:
                    return _reply(await self._message(connection_id, event))
        except Problem as problem:
            return _rejected(context, problem.status, problem.kind, str(problem.detail))
        except VedetteError as error:
            log.warning("a WebSocket event failed: %s", error)
            return _rejected(context, 503, "unavailable", "The database is temporarily unavailable. Retry later.")

    async def _connect(self, connection_id: str, event: Mapping[str, Any]) -> Result:
        caller = await caller_of_handshake(self._deps, event)
        try:
            await self._deps.database.run(lambda connection: add_connection(connection, connection_id, caller))
        except TooManyConnectionsError:
            raise Problem(429, "too-many-connections", "You have too many connections. Close one first.") from None
        return {"statusCode": 200}

    async def _message(self, connection_id: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to one message."""
        try:
            message = _parsed(event)
            match message:
                case PingMessage():
                    return {"type": "pong"}
                case UnsubscribeMessage():
                    return await self._unsubscribe(connection_id, message)
                case SubscribeMessage():
                    return await self._subscribe(connection_id, message)
        except _MessageError as error:
            return {"type": "error", "code": error.code, "detail": str(error)}

    async def _unsubscribe(self, connection_id: str, message: UnsubscribeMessage) -> dict[str, Any]:
        name = message.subscription
        if not await self._deps.database.run(lambda connection: unsubscribe(connection, connection_id, name)):
            raise _MessageError("no-such-subscription", f"There is no subscription {name}.")
        return {"type": "unsubscribed", "subscription": name}

    async def _subscribe(self, connection_id: str, message: SubscribeMessage) -> dict[str, Any]:
        position = await self._deps.database.run(lambda connection: _add(connection, connection_id, message))
        if message.after is not None:  # missed events wait
            await self._deps.thread_pool.run(self._deps.stream.signal.wake)
        return {"type": "subscribed", "subscription": message.subscription, "cursor": cursor_text(position)}


def _add(connection: Connection, connection_id: str, message: SubscribeMessage) -> int:
    """Store the subscription and return its position; raise _MessageError."""
    limit = limit_of(connection, connection_id)
    if limit is None:
        raise _MessageError("not-connected", "The connection has ended. Connect again.")
    _check_groups(connection, message.groups or (), limit.groups)
    position = head_position(connection) if message.after is None else _resumed(connection, message.after)
    try:
        is_added = subscribe(connection, connection_id, message.subscription, message.stored(), position=position)
    except TooManySubscriptionsError:
        detail = f"The connection has {MAX_SUBSCRIPTIONS} subscriptions, the maximum. End one first."
        raise _MessageError("too-many-subscriptions", detail) from None
    if not is_added:
        raise _MessageError("not-connected", "The connection has ended. Connect again.")
    return position


def _check_groups(connection: Connection, groups: Any, limit: tuple[str, ...] | None) -> None:
    scope = None if limit is None else CameraScope(limit)
    for group in groups:
        if find_group(connection, group, scope=scope) is None:
            raise _MessageError("group-not-found", f"groups: there is no camera group {group}.")


def _resumed(connection: Connection, cursor: str) -> int:
    try:
        return resumed_position(connection, cursor)
    except UnknownCursorError:
        raise _MessageError("invalid-cursor", "after: must be a cursor of an earlier message.") from None
    except ExpiredCursorError:
        detail = f"after: the cursor is older than {KEPT.days} days. Read the events since then with GET /api/events."
        raise _MessageError("cursor-expired", detail) from None


def _parsed(event: Mapping[str, Any]) -> PingMessage | SubscribeMessage | UnsubscribeMessage:
    text = event.get("body") or ""
    if event.get("isBase64Encoded"):
        raise _MessageError("invalid-message", "Send text messages, not binary ones.")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_MESSAGE_BYTES:
        raise _MessageError("message-too-large", f"A message may have {MAX_MESSAGE_BYTES} bytes.")
    try:
        return MESSAGES.validate_python(from_json(text, allow_inf_nan=False))
    except ValidationError as error:
        raise _MessageError("invalid-message", _described(error)) from None
    except ValueError:
        raise _MessageError("invalid-message", "The message is not valid JSON.") from None


def _described(error: ValidationError) -> str:
    """Return what is wrong, without the values: they may be a plate."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:_SHOWN]
    texts: list[str] = []
    for one in found:
        place = ".".join(str(part) for part in one["loc"] if part not in {"subscribe", "unsubscribe", "ping"})
        texts.append(f"{place}: {one['msg']}" if place else one["msg"])
    return "; ".join(texts)


def _reply(message: Mapping[str, Any]) -> Result:
    return {"statusCode": 200, "body": json.dumps(message, ensure_ascii=False)}


def _rejected(context: Mapping[str, Any], status: int, code: str, detail: str) -> Result:
    """Return the response to a handshake; a message gets the error as its answer, and the connection stays."""
    answer = _reply({"type": "error", "code": code, "detail": detail})
    return answer | {"statusCode": status} if context.get("eventType") == "CONNECT" else answer
