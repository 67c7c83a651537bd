"""What the local AWS front has to know of a request: its body, and which service it is signed for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_SCOPE = re.compile(r"/([a-z0-9-]+)/aws4_request")


def service_of(environ: Environ) -> str | None:
    """Return the service in the request's signature scope (``s3``, ``sns``, …); None where it is not signed."""
    signed = str(environ.get("HTTP_AUTHORIZATION", ""))
    if not signed:
        signed = "".join(parse_qs(str(environ.get("QUERY_STRING", ""))).get("X-Amz-Credential", []))
    found = _SCOPE.search(signed)
    return found[1] if found else None


def body_of(environ: Environ) -> bytes:
    """Return the request's body, out of whichever framing it came in."""
    if str(environ.get("HTTP_TRANSFER_ENCODING", "")).lower() == "chunked":
        raw: bytes = environ["wsgi.input"].read()
    else:
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return _unchunk(raw) if str(environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")).startswith("STREAMING-") else raw


def _unchunk(raw: bytes) -> bytes:
    """Take ``aws-chunked`` framing (``SIZE;extensions CRLF data CRLF … 0 CRLF trailers``) off."""
    parts: list[bytes] = []
    position = 0
    while True:
        end = raw.index(b"\r\n", position)
        size = int(raw[position:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(raw[end + 2 : end + 2 + size])
        position = end + 2 + size + 2
