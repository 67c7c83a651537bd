"""Middleware for rules that apply to every path: trailing slashes, HEAD, If-None-Match and security headers."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud_functions.api.http.middleware.request_metrics import RequestMetrics

log = logging.getLogger(__name__)

IS_HEAD = "vedette.head"
"""Scope key of a HEAD request, which routes receive as GET. A streaming response can skip its body."""
_REMOVED_FROM_304 = ("content-length", "content-disposition")


class HttpSemanticsMiddleware:
    """Wraps the application. ``root_path`` is the path prefix that a gateway removes, such as a REST API's stage."""

    def __init__(self, app: ASGIApp, *, root_path: str, metrics: RequestMetrics | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root_path = self._root_path or scope.get("root_path", "")
        inner = {**scope, "root_path": root_path, **_without_trailing_slash(scope, root_path)}
        is_head = scope["method"] == "HEAD"
        if is_head:
            inner |= {"method": "GET", IS_HEAD: True}
        sender = _ResponseSender(scope, send, drops_body=is_head)
        began_s = time.perf_counter()
        try:
            await self._app(inner, receive, sender)
        finally:
            # The path template: the path itself may contain a plate, which must not be logged.
            route = getattr(inner.get("route"), "path", "unknown path")
            spent_s = time.perf_counter() - began_s
            log.info("%s %s: %s in %.1f ms", scope["method"], route, sender.status, 1000 * spent_s)
            if self._metrics is not None:
                self._metrics.observe(scope["method"], route, sender.status, spent_s)


class _ResponseSender:
    """Sends one response. Leaves out the body for HEAD requests and 304 responses."""

    def __init__(self, scope: Scope, send: Send, *, drops_body: bool) -> None:
        self._scope = scope
        self._send = send
        self._drops_body = drops_body
        self.status = 500
        """Status that was sent; 500 while none has been."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start(message)
        elif message["type"] == "http.response.body" and self._drops_body:
            message = {**message, "body": b""}
        await self._send(message)

    def _start(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        headers["X-Content-Type-Options"] = "nosniff"
        headers.setdefault("Cache-Control", "private, no-cache")
        if message["status"] == 200 and _is_not_modified(self._scope, headers.get("etag")):
            message["status"] = 304
            for name in _REMOVED_FROM_304:
                del headers[name]
            self._drops_body = True
        self.status = message["status"]


def _without_trailing_slash(scope: Scope, root_path: str) -> dict[str, Any]:
    """Return the scope entries that route ``/api/events/`` as ``/api/events`` without a redirect."""
    path: str = scope["path"]
    if not path.endswith("/") or path in ("/", f"{root_path}/"):
        return {}
    raw: bytes | None = scope.get("raw_path")
    return {"path": path[:-1], "raw_path": raw[:-1] if raw is not None and raw.endswith(b"/") else raw}


def _is_not_modified(scope: Scope, etag: str | None) -> bool:
    """Return whether ``If-None-Match`` of a GET or HEAD request names this ETag (RFC 9110, section 13.1.2)."""
    if etag is None or scope["method"] not in ("GET", "HEAD"):
        return False
    known = Headers(scope=scope).get("if-none-match")
    if known is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return known.strip() == "*" or etag.removeprefix("W/") in tags
