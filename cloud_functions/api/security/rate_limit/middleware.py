"""ASGI middleware that adds the ``RateLimit`` headers of the caller to each response."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud_functions.api.security.permissions import caller_of


class RateLimitMiddleware:
    """Wraps the application inside ``HttpSemanticsMiddleware``, so that it sees the same scope as the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = caller_of(Request(scope))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and caller.headers:
                MutableHeaders(scope=message).update(caller.headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)
