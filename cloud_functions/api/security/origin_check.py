"""Refuses what a web page makes a browser send to an API on this machine: DNS rebinding and cross-site requests.

A loopback address protects an API from other machines, not from the pages that are open in a browser on this one. With
DNS rebinding a page's own name resolves to 127.0.0.1, so that the browser sends ``Host: evil.example`` and counts the
answer as the page's own. A browser cannot be made to lie in ``Host`` or ``Origin``, so both are checked here, for the
API under uvicorn as for the local AWS endpoints. Behind API Gateway the gateway has done this already.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit


def refusal(
    *, hosts: Sequence[str], origins: Sequence[str], allowed_hosts: Collection[str] = (), scheme: str = "http"
) -> str | None:
    """Return why a request with these ``Host`` and ``Origin`` headers is refused; None where it may go on.

    A host may be an IP address (rebinding needs a DNS name), ``localhost``, or one of ``allowed_hosts``. An origin may
    be the same as the host, a page on this machine, or a page on one of ``allowed_hosts``; programs that are no
    browsers send no origin.
    """
    for host in hosts:
        name = _hostname(host)
        if name is None or not (_is_local_name(name) or _is_address(name) or name in allowed_hosts):
            return f"the Host header names {_shown(host)}, which is not a name of this server"
    for origin in origins:
        if any(_same_origin(origin, f"{scheme}://{host}") for host in hosts):
            continue
        name = _origin_hostname(origin)
        if name is None or not (_is_local_name(name) or _is_loopback(name) or name in allowed_hosts):
            return f"the request comes from a page of {_shown(origin)}, which is another site"
    return None


def _hostname(host: str) -> str | None:
    """Return the name or address in a ``Host`` header, lower case; None where it cannot be parsed."""
    if any(character in host for character in "/\\@?#, \t") or not host:
        return None
    return _origin_hostname(f"http://{host}")


def _origin_hostname(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
        parts.port  # noqa: B018  raises ValueError where it is no port
    except ValueError:
        return None
    return parts.hostname.rstrip(".") if parts.scheme in {"http", "https"} and parts.hostname else None


def _same_origin(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def _is_local_name(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")  # RFC 6761: never asked of DNS


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name).is_loopback


def _shown(text: str) -> str:
    """Return what a header said, short and printable."""
    return "".join(character if character.isprintable() else "?" for character in text[:80]) or "nothing"
