"""Validation of host names, host:port pairs and URLs in settings, with errors that suggest a correction."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

_LABEL = re.compile(r"[^\W_](?:[\w-]*[^\W_])?|[^\W_]?_[\w-]*", re.UNICODE)
_MAX_NAME_LENGTH = 253
_PORT = re.compile(r"[0-9]{1,5}")


def host(text: str) -> str:
    """Return ``text`` if it is a host name or an IP address (IPv6 with or without brackets).

    Raises ValueError with a suggested correction if it contains a scheme, a port, a path or a login.
    """
    if "://" in text:
        raise ValueError(f"is a URL; write only the host: {_host_of(text) or 'broker.example'}")
    bare = text.removeprefix("[").removesuffix("]")
    if ":" in bare and _is_ip(bare):
        return bare
    name, separator, port = text.partition(":")
    if separator and _PORT.fullmatch(port):
        raise ValueError(f"contains a port; write host = {_quoted(name)} and port = {port}")
    if not _is_host_name(text):
        raise ValueError("is not a host name or IP address")
    return text


def host_and_port(text: str) -> str:
    """Return ``text`` if it is a host or ``host:port``; raise ValueError otherwise."""
    name, separator, port = text.rpartition(":")
    if separator and _PORT.fullmatch(port) and not text.endswith("]") and "://" not in text and ":" not in name:
        if not 1 <= int(port) <= 65_535:
            raise ValueError(f"has the port {port}; a port is 1 to 65535")
        return f"{host(name)}:{port}"
    return host(text)


def http_url(text: str) -> str:
    """Return ``text`` if it is ``http(s)://HOST[:PORT][/PATH]``; raise ValueError otherwise."""
    try:
        parts = urlsplit(text)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError("is not a URL; expected http://HOST:PORT or https://HOST") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_valid:
        raise ValueError("is not a URL; expected http://HOST:PORT or https://HOST")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must not contain a login, a query or a fragment")
    host(f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname)
    return text


Host = Annotated[str, Field(min_length=1, max_length=_MAX_NAME_LENGTH), AfterValidator(host)]
HostAndPort = Annotated[str, Field(min_length=1, max_length=_MAX_NAME_LENGTH + 6), AfterValidator(host_and_port)]
HttpUrl = Annotated[str, Field(min_length=8, max_length=2000), AfterValidator(http_url)]


def _is_host_name(text: str) -> bool:
    labels = text.removesuffix(".").split(".")
    if all(label.isdecimal() for label in labels):
        return _is_ip(text)  # 1.2.3 and 1.2.3.456 are neither names nor addresses
    return all(len(label) <= 63 and _LABEL.fullmatch(label) for label in labels)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host_of(text: str) -> str:
    try:
        return urlsplit(text).hostname or ""
    except ValueError:
        return ""


def _quoted(text: str) -> str:
    return f'"{text}"'
