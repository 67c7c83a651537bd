"""Cross-origin requests of browsers: which pages of other sites may read responses (``CORS_ORIGINS``; none by default).

On AWS, an HTTP API answers preflight requests itself, by its own configuration (``CorsConfiguration`` of the template),
and replaces these headers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ANY_ORIGIN: Final = "*"
METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"
HEADERS: Final = "Authorization, Content-Type, If-Match, If-None-Match, X-API-Key, X-Request-ID"
EXPOSED: Final = (
    "Content-Disposition, ETag, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After,"
    " X-Next-Cursor, X-Request-ID"
)
_MAX_AGE_S: Final = "600"


class CorsMiddleware:
    """Answers preflight requests of allowed origins, and lets their pages read responses.

    Credentials (cookies) are allowed only for origins that are named, never for ``*``.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        allowed = self._allowed(headers.get("origin"))
        if allowed is None:
            await self._app(scope, receive, _with_headers(send, {}))
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(send, self._answer(allowed))
        else:
            await self._app(
                scope, receive, _with_headers(send, self._answer(allowed) | {"Access-Control-Expose-Headers": EXPOSED})
            )

    def _allowed(self, origin: str | None) -> str | None:
        """Return the value of ``Access-Control-Allow-Origin``; None for a request that is not allowed."""
        if origin is None:
            return None
        if ANY_ORIGIN in self._origins:
            return ANY_ORIGIN
        return origin if origin.lower() in self._origins else None

    def _answer(self, allowed: str) -> dict[str, str]:
        credentials = {} if allowed == ANY_ORIGIN else {"Access-Control-Allow-Credentials": "true"}
        return {"Access-Control-Allow-Origin": allowed} | credentials


def _with_headers(send: Send, added: dict[str, str]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.add_vary_header("Origin")
            headers.update(added)
        await send(message)

    return send_with_headers


async def _preflight(send: Send, answer: dict[str, str]) -> None:
    headers = answer | {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": HEADERS,
        "Access-Control-Max-Age": _MAX_AGE_S,
        "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 204, "headers": raw})
    await send({"type": "http.response.body", "body": b""})
