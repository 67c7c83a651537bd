"""Middleware that compresses large JSON responses with gzip, for clients that accept it.

Only complete JSON responses are compressed: images are compressed already, and a stream must reach the client as it is
produced. Responses with ``Cache-Control: no-store`` are never compressed: they may hold a secret, and the size of a
compressed secret next to a value that an attacker chose reveals it (BREACH).
"""

from __future__ import annotations

import zlib
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIN_BYTES: Final = 2048
"""Smaller responses are sent as they are: they fit into one or two packets anyway."""
_LEVEL: Final = 1
"""Of 9. Higher levels take several times as long and save a few per cent more of such JSON."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_JSON: Final = ("application/json", "application/geo+json")


class CompressionMiddleware:
    """Compresses the body of responses that ``_may_compress`` accepts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _CompressingSender(send, accepts_gzip=accepts_gzip(Headers(scope=scope))))


class _CompressingSender:
    """Holds the start of a response until its body shows whether it is complete."""

    def __init__(self, send: Send, *, accepts_gzip: bool) -> None:
        self._send = send
        self._accepts_gzip = accepts_gzip
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_eligible(message):
            self._start = message
            return
        if self._start is not None and message["type"] == "http.response.body":
            message = self._encoded(self._start, message)
            start, self._start = self._start, None
            await self._send(start)
        await self._send(message)

    def _encoded(self, start: Message, message: Message) -> Message:
        body: bytes = message.get("body", b"")
        if message.get("more_body", False) or len(body) < MIN_BYTES:
            return message
        headers = MutableHeaders(scope=start)
        headers.add_vary_header("Accept-Encoding")
        if not self._accepts_gzip:
            return message
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        compressed = compressor.compress(body) + compressor.flush()
        headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(compressed))
        if (tag := headers.get("etag")) is not None and not tag.startswith("W/"):
            headers["ETag"] = f"W/{tag}"  # the bytes differ from those of the response without compression
        return {**message, "body": compressed}


def _is_eligible(start: Message) -> bool:
    """Return whether a response with this start may be compressed, depending on its body."""
    headers = Headers(raw=start["headers"])
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return (
        media_type in _JSON
        and "content-encoding" not in headers
        and "no-store" not in headers.get("cache-control", "").lower()
    )


def accepts_gzip(headers: Headers) -> bool:
    """Return whether ``Accept-Encoding`` allows gzip (RFC 9110, section 12.5.3)."""
    weights: dict[str, float] = {}
    for part in ",".join(headers.getlist("accept-encoding")).split(","):
        name, _, parameters = part.strip().lower().partition(";")
        weights[name.strip()] = _weight(parameters)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weight(parameters: str) -> float:
    name, _, value = parameters.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
