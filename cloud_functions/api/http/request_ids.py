"""The id of a request: from ``X-Request-ID``, API Gateway, or generated; in responses, problems and log lines."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID_HEADER: Final = "X-Request-ID"
_SCOPE_KEY: Final = "vedette.request_id"
_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9_.:=+/-]{1,128}", re.ASCII)
"""A line end or a quote in an id could forge a log line."""
_current: Final[ContextVar[str]] = ContextVar("vedette_request_id", default="-")


def request_id_of(scope: MutableMapping[str, Any]) -> str:
    """Return the id of a request, which is the same at each call.

    It is the client's ``X-Request-ID`` if that has 1 to 128 characters of ``A-Z a-z 0-9 _ . : = + / -``, else API
    Gateway's id, else a new UUID.
    """
    known: str | None = scope.get(_SCOPE_KEY)
    if known is None:
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        known = given if _WELL_FORMED.fullmatch(given) else _gateway_id(scope) or str(uuid4())
        scope[_SCOPE_KEY] = known
    return known


def _gateway_id(scope: Mapping[str, Any]) -> str:
    return str(scope.get("aws.event", {}).get("requestContext", {}).get("requestId") or "")


class RequestIdMiddleware:
    """Gives each request an id, and each response the header with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Stored in this scope itself, which is also that of the handler of unexpected errors.
        request_id = request_id_of(scope)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        token = _current.set(request_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            _current.reset(token)


class RequestIdFilter(logging.Filter):
    """Adds ``request_id`` to log records: that of the request being handled, or ``-``."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _current.get()
        return True
