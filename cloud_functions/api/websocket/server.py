"""The WebSocket under uvicorn: what API Gateway does on AWS.

A connection becomes the same events for the same handler. What is sent to connections comes through ``@connections`` on
a loopback port of its own (``management``), as on AWS, from the fan-out function.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from cloud_functions.api.websocket.handler import StreamHandler
from cloud_functions.api.websocket.management import ManagementServer, Sent

log = logging.getLogger(__name__)

PATHS: Final = ("/api/v1/websocket", "/api/websocket")
MAX_BUFFERED_BYTES: Final = 1024 * 1024
"""Messages that wait for one client. While there are more, further ones are refused."""
_RESERVE_BYTES: Final = 4096
"""Beyond that, for the last message before a connection is closed."""
_SEND_TIMEOUT_S: Final = 60.0
_POLICY_VIOLATION: Final = 1008
_GOING_AWAY: Final = 1001


class _Connection:
    """One client and the messages that wait for it. ``offer`` and ``close`` may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._is_closing = False
        self._changed = asyncio.Event()

    def offer(self, text: str) -> Sent:
        """Add a message, unless too much waits already."""
        size = len(text.encode("utf-8", "replace"))
        with self._lock:
            if self._is_closing:
                return Sent.GONE
            most = MAX_BUFFERED_BYTES + (_RESERVE_BYTES if size < _RESERVE_BYTES else 0)
            if self._bytes and self._bytes + size > most:
                return Sent.REFUSED
            self._waiting.append(text)
            self._bytes += size
        self._loop.call_soon_threadsafe(self._changed.set)
        return Sent.ACCEPTED

    def close(self) -> None:
        """Close the connection when what waits has been sent."""
        with self._lock:
            self._is_closing = True
        self._loop.call_soon_threadsafe(self._changed.set)

    async def send_all(self, send: Send) -> None:
        """Send what waits until the connection is to be closed; raise TimeoutError if the client takes nothing."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while text := self._next():
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await send({"type": "websocket.send", "text": text})
                with self._lock:
                    self._bytes -= len(text.encode("utf-8", "replace"))
            with self._lock:
                if self._is_closing and not self._waiting:
                    return

    def _next(self) -> str | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None


class WebSocketMiddleware:
    """Accepts WebSockets at ``PATHS`` and passes everything else on."""

    def __init__(self, app: ASGIApp, *, handler: StreamHandler, management_port: int | None) -> None:
        """``management_port``: where the loopback server of ``@connections`` listens; None for no such server."""
        self._app = app
        self._handler = handler
        self._connections: dict[str, _Connection] = {}
        self._management = None if management_port is None else ManagementServer(self, port=management_port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"].removeprefix(scope.get("root_path", "")) in PATHS:
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    @property
    def management_port(self) -> int:
        """The port of ``@connections``; 0 if there is none."""
        return 0 if self._management is None else self._management.port

    def send(self, connection_id: str, text: str) -> Sent:
        """Send a message to a connection."""
        connection = self._connections.get(connection_id)
        return Sent.GONE if connection is None else connection.offer(text)

    def close(self, connection_id: str) -> bool:
        """Close a connection; return whether there is one."""
        connection = self._connections.get(connection_id)
        if connection is not None:
            connection.close()
        return connection is not None

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._management is not None:
            self._management.start()
        try:
            await self._app(scope, receive, send)
        finally:
            if self._management is not None:
                self._management.stop()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until one side closes it."""
        await receive()  # websocket.connect
        connection_id = secrets.token_urlsafe(16)
        connection = self._connections[connection_id] = _Connection(asyncio.get_running_loop())
        try:
            result = await self._handler.handle(_event("CONNECT", connection_id) | _handshake(scope, connection_id))
            if result["statusCode"] != 200:
                await _deny(scope, send, result)
                return
            await send({"type": "websocket.accept"})
            await self._exchange(connection_id, connection, receive, send)
        finally:
            self._connections.pop(connection_id, None)
            await self._handler.handle(_event("DISCONNECT", connection_id))

    async def _exchange(self, connection_id: str, connection: _Connection, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(connection.send_all(send))
        receiving = asyncio.create_task(self._receive(connection_id, connection, receive))
        try:
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                return  # the client closed it
            with suppress(Exception):  # also a client that is gone: the transport is then closed
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    code = _GOING_AWAY if sending.exception() is not None else _POLICY_VIOLATION
                    await send({"type": "websocket.close", "code": code, "reason": "see the last message"})
        finally:
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)

    async def _receive(self, connection_id: str, connection: _Connection, receive: Receive) -> None:
        """Handle the client's messages one after another, until it disconnects."""
        while (message := await receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            body = {"body": text} if text is not None else {"body": "", "isBase64Encoded": True}
            result = await self._handler.handle(_event("MESSAGE", connection_id) | body)
            # A client that asks and does not read the answers waits, and is not read from meanwhile.
            while connection.offer(result["body"]) is Sent.REFUSED:  # noqa: ASYNC110 - of this rare client only
                await asyncio.sleep(0.1)


def _event(kind: str, connection_id: str) -> dict[str, Any]:
    return {"requestContext": {"eventType": kind, "connectionId": connection_id}}


def _handshake(scope: Scope, connection_id: str) -> dict[str, Any]:
    """Return the handshake as API Gateway describes it."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    client = scope.get("client")
    return {
        "multiValueHeaders": headers,
        "queryStringParameters": dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        "requestContext": {
            "eventType": "CONNECT",
            "connectionId": connection_id,
            "scheme": {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), scope.get("scheme")),
            "identity": {"sourceIp": client[0] if client else None},
        },
    }


async def _deny(scope: Scope, send: Send, result: Mapping[str, Any]) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        return
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "websocket.http.response.start", "status": result["statusCode"], "headers": headers})
    await send({"type": "websocket.http.response.body", "body": str(result["body"]).encode()})
