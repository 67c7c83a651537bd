"""ASGI middleware that applies ``origin_check`` to the API under uvicorn."""

from __future__ import annotations

from collections.abc import Collection

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from cloud_functions.api.http.problems import Problem, problem_response
from cloud_functions.api.security.origin_check import refusal


class OriginCheckMiddleware:
    """Rejects requests that ``refusal`` gives a reason for: HTTP with 403, WebSockets with close code 1008."""

    def __init__(
        self, app: ASGIApp, *, allowed_hosts: Collection[str] = (), allowed_origins: Collection[str] = ()
    ) -> None:
        self._app = app
        self._allowed_hosts = frozenset(name.lower().rstrip(".") for name in allowed_hosts)
        self._allowed_origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reason = self._refusal(scope) if scope["type"] in {"http", "websocket"} else None
        if reason is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(code=1008, reason=reason[:100])(scope, receive, send)
        else:
            remedy = "add the host name to ALLOWED_HOSTS, or the origin to CORS_ORIGINS"
            detail = f"Request rejected: {reason}. To allow it, {remedy}."
            await problem_response(Request(scope), Problem(403, "foreign-origin", detail))(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        scheme = {"ws": "http", "wss": "https"}.get(str(scope.get("scheme")), str(scope.get("scheme")))
        return refusal(
            hosts=_header_values(scope, b"host"),
            origins=_header_values(scope, b"origin"),
            allowed_hosts=self._allowed_hosts,
            allowed_origins=self._allowed_origins,
            scheme=scheme,
        )


def _header_values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
