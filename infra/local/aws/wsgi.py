"""Reads a WSGI request to the local AWS endpoint: its body, the service it is signed for, and its origin."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from cloud_functions.api.security.origin_check import refusal

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_SCOPE = re.compile(r"/([a-z0-9-]+)/aws4_request")


class OriginGuard:
    """WSGI middleware: answers 403 to cross-site requests from browsers (see ``origin_check``)."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        reason = refusal(hosts=_header(environ, "HTTP_HOST"), origins=_header(environ, "HTTP_ORIGIN"))
        if reason is None:
            return self._application(environ, start_response)
        body = f"Refused: {reason}.\n".encode()
        start_response("403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]


def _header(environ: Environ, name: str) -> list[str]:
    return [str(environ[name])] if name in environ else []


def service_of(environ: Environ) -> str | None:
    """Return the service in the request's signature scope (``s3``, ``sns``, …); None if it is not signed."""
    signed = str(environ.get("HTTP_AUTHORIZATION", ""))
    if not signed:
        signed = "".join(parse_qs(str(environ.get("QUERY_STRING", ""))).get("X-Amz-Credential", []))
    found = _SCOPE.search(signed)
    return found[1] if found else None


def body_of(environ: Environ) -> bytes:
    """Return the request's body, decoded from chunked transfer encoding and ``aws-chunked``."""
    if str(environ.get("HTTP_TRANSFER_ENCODING", "")).lower() == "chunked":
        raw: bytes = environ["wsgi.input"].read()
    else:
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return _unchunk(raw) if str(environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")).startswith("STREAMING-") else raw


def _unchunk(raw: bytes) -> bytes:
    """Decode ``aws-chunked`` (``SIZE;extensions CRLF data CRLF … 0 CRLF trailers``)."""
    parts: list[bytes] = []
    position = 0
    while True:
        end = raw.index(b"\r\n", position)
        size = int(raw[position:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(raw[end + 2 : end + 2 + size])
        position = end + 2 + size + 2
