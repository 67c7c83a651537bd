"""Ends the work for clients that hung up: their queries would run on, each holding a thread and a connection.

For a server; on Lambda nobody learns that a client is gone. Only reading is ended: a change that was asked for is
finished, whether somebody waits for the answer or not.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from cloud_functions.api.http.semantics import App, Message, Receive, Scope, Send

_EMPTY_BODY: Message = {"type": "http.request", "body": b"", "more_body": False}


class CancelAbandoned:
    """Cancels a GET or HEAD when its client disconnects before the answer is complete."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        await _Watched(receive, send).run(self._app, scope)


class _Watched:
    """One request and its client. Bodies are passed over: no route that reads takes one."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._gone = asyncio.Event()
        self._has_begun = False
        self._is_complete = False

    async def run(self, app: App, scope: Scope) -> None:
        answering = asyncio.ensure_future(app(scope, self._receive_for_app, self._send_for_app))
        watching = asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
            if self._gone.is_set() and not self._is_complete and not answering.done():
                answering.cancel()
                with suppress(asyncio.CancelledError):
                    await answering
            else:
                await answering
        finally:
            watching.cancel()
            answering.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def _receive_for_app(self) -> Message:
        if not self._has_begun:
            self._has_begun = True
            return _EMPTY_BODY
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send_for_app(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_complete = True
        await self._send(message)
