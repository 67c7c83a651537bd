"""The session cookie of the dashboard: its name and attributes, and which requests may use it.

Over https the cookie is ``__Host-vedette``, which browsers take only from this host, over https and for all paths. Over
plain http, where browsers reject that name, it is ``vedette-session``, and only on a loopback address or where the
settings allow it: elsewhere everybody on the network could read it.

A cookie is sent without the page's doing, so it counts only in requests that come from a page of this API: browsers say
so in ``Sec-Fetch-Site`` or ``Origin``. From elsewhere it counts as absent. ``SameSite=Strict`` does the same in the
browser, except between ports of one host.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final, Literal, TypedDict
from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import Response

from cloud_functions.api.security.origin_check import is_this_machine

LIFETIME: Final = timedelta(days=7)
"""Time after which a user logs in again."""
SECURE_NAME: Final = "__Host-vedette"
PLAIN_NAME: Final = "vedette-session"
_MAX_TOKEN: Final = 200
_NO_TEXT: Final = b"\xffsession "
"""Begins with a byte that is in no UTF-8 text, so that a client cannot send a text with the same hash elsewhere."""

LogIn = Literal["available", "https-required"]


class _Attributes(TypedDict):
    path: str
    secure: bool
    httponly: bool
    samesite: Literal["strict"]


def log_in_state(request: Request, *, over_http: bool) -> LogIn:
    """Return whether a session can begin on this connection. ``over_http``: also over plain http to other machines."""
    if request.url.scheme == "https" or over_http or is_this_machine(request.headers.get("host", "")):
        return "available"
    return "https-required"


def session_token(request: Request) -> str | None:
    """Return the token in the request's cookie; None if there is none or the request comes from another site."""
    token = request.cookies.get(_name(request))
    return token if token and len(token) <= _MAX_TOKEN and is_same_origin(request) else None


def is_same_origin(request: Request) -> bool:
    """Return whether a page of this API sent the request, or for a read the user with the address bar."""
    is_read = request.method in ("GET", "HEAD")
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin" or (is_read and site == "none")
    origin = request.headers.get("origin")
    if origin is None:
        return is_read
    parts = urlsplit(origin.lower())
    return (parts.scheme, parts.netloc) == (request.url.scheme, request.headers.get("host", "").lower())


def session_hash(token: str) -> bytes:
    """Return what is stored of a token. No refresh token, whatever its text, has this hash: neither is the other."""
    return hashlib.sha256(_NO_TEXT + token.encode("utf-8", "surrogatepass")).digest()


def set_session_cookie(request: Request, response: Response, token: str) -> None:
    """Set the cookie."""
    max_age_s = int(LIFETIME.total_seconds())
    response.set_cookie(_name(request), token, max_age=max_age_s, **_attributes(request))


def delete_session_cookie(request: Request, response: Response) -> None:
    """Make the browser forget the cookie."""
    response.delete_cookie(_name(request), **_attributes(request))


def _name(request: Request) -> str:
    return SECURE_NAME if request.url.scheme == "https" else PLAIN_NAME


def _attributes(request: Request) -> _Attributes:
    return {"path": "/", "secure": request.url.scheme == "https", "httponly": True, "samesite": "strict"}
