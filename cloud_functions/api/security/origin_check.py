"""Detects DNS rebinding and cross-site requests, which a web page can make a browser send to an API on this machine.

A loopback address protects an API from other machines, but not from web pages in a browser on the same machine. With
DNS rebinding, the host name of a page resolves to 127.0.0.1: the browser sends ``Host: evil.example`` and lets the page
read the response. A page cannot forge ``Host`` or ``Origin``, so both headers are checked. The API under uvicorn and
the local AWS endpoints use this check. API Gateway checks ``Host`` itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit


def refusal(
    *,
    hosts: Sequence[str],
    origins: Sequence[str],
    allowed_hosts: Collection[str] = (),
    allowed_origins: Collection[str] = (),
    scheme: str = "http",
) -> str | None:
    """Return why a request with these ``Host`` and ``Origin`` headers must be rejected, or None to accept it.

    A host is accepted if it is an IP address (rebinding needs a DNS name), ``localhost`` or one of ``allowed_hosts``.
    An origin is accepted if it equals the host, is on this machine, is on one of ``allowed_hosts``, or is one of
    ``allowed_origins`` (``*`` is every origin). Clients other than browsers send no origin.
    """
    for host in hosts:
        name = _hostname(host)
        if name is None or not (_is_local_name(name) or _is_address(name) or name in allowed_hosts):
            return f"{_printable(host)} in the Host header is not a name of this server"
    for origin in origins:
        if "*" in allowed_origins or origin.lower() in allowed_origins:
            continue
        if any(_same_origin(origin, f"{scheme}://{host}") for host in hosts):
            continue
        name = _origin_hostname(origin)
        if name is None or not (_is_local_name(name) or _is_loopback(name) or name in allowed_hosts):
            return f"the Origin {_printable(origin)} is another site"
    return None


def is_this_machine(host: str) -> bool:
    """Return whether a ``Host`` header names ``localhost`` or a loopback address."""
    name = _hostname(host)
    return name is not None and (_is_local_name(name) or _is_loopback(name))


def _hostname(host: str) -> str | None:
    """Return the name or address in a ``Host`` header in lower case, or None if the header is invalid."""
    if any(character in host for character in "/\\@?#, \t") or not host:
        return None
    return _origin_hostname(f"http://{host}")


def _origin_hostname(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
        parts.port  # noqa: B018  raises ValueError for an invalid port
    except ValueError:
        return None
    return parts.hostname.rstrip(".") if parts.scheme in {"http", "https"} and parts.hostname else None


def _same_origin(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def _is_local_name(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")  # RFC 6761: resolves to loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name).is_loopback


def _printable(text: str) -> str:
    """Return the start of a header value with unprintable characters replaced."""
    return "".join(character if character.isprintable() else "?" for character in text[:80]) or "nothing"
