"""Middleware that cancels read requests of clients that disconnected, to free their thread and database connection.

It works on a server only: Lambda does not report disconnects. Requests that change data always run to completion.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_EMPTY_BODY: Message = {"type": "http.request", "body": b"", "more_body": False}


class CancelOnDisconnectMiddleware:
    """Cancels a GET or HEAD request when its client disconnects before the response is complete."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        await _CancellableRequest(receive, send).run(self._app, scope)


class _CancellableRequest:
    """One request and the connection to its client. The request body is ignored: no GET route reads one."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._disconnected = asyncio.Event()
        self._body_received = False
        self._is_complete = False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        response_task = asyncio.ensure_future(app(scope, self._receive_for_app, self._send_for_app))
        disconnect_task = asyncio.ensure_future(self._wait_for_disconnect())
        try:
            await asyncio.wait((response_task, disconnect_task), return_when=asyncio.FIRST_COMPLETED)
            if self._disconnected.is_set() and not self._is_complete and not response_task.done():
                response_task.cancel()
                with suppress(asyncio.CancelledError):
                    await response_task
            else:
                await response_task
        finally:
            disconnect_task.cancel()
            response_task.cancel()

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._disconnected.set()

    async def _receive_for_app(self) -> Message:
        if not self._body_received:
            self._body_received = True
            return _EMPTY_BODY
        await self._disconnected.wait()
        return {"type": "http.disconnect"}

    async def _send_for_app(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_complete = True
        await self._send(message)
