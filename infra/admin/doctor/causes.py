"""Distinguishes why a server cannot be reached: name, nothing listening, no answer, TLS, credentials."""

from __future__ import annotations

import socket
import ssl
from typing import NamedTuple

from shared.tls_errors import explain_tls_error


class Cause(NamedTuple):
    """Why something cannot be reached, and what to do."""

    text: str
    remedy: str


def network_cause(error: BaseException, *, where: str, setting: str) -> Cause:
    """Return the cause of an error of a socket. ``where``: host and port; ``setting``: the variable to correct."""
    if explained := explain_tls_error(error):
        return Cause(f"{where}: {explained}", f"renew or trust the certificate, or correct {setting}")
    for link in _chain(error):
        if isinstance(link, socket.gaierror):
            return Cause(f"the name of {where} cannot be resolved (DNS)", f"correct {setting}, or the name server")
        if isinstance(link, ConnectionRefusedError):
            return Cause(f"nothing listens at {where} (connection refused)", f"start the server, or correct {setting}")
        if isinstance(link, TimeoutError):
            return Cause(f"{where} does not answer (timeout)", "check the address, routes, security groups, firewalls")
    detail = getattr(error, "strerror", None) or type(error).__name__
    return Cause(f"{where} cannot be reached: {detail}", f"check {setting} and the network")


def try_connect(host: str, port: int, *, setting: str, timeout_s: float) -> Cause | None:
    """Open and close a TCP connection; return the cause if that fails."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return None
    except OSError as error:
        return network_cause(error, where=address(host, port), setting=setting)


def open_socket(host: str, port: int, *, tls: bool, timeout_s: float) -> socket.socket:
    """Return a connected socket; with ``tls``, one whose server certificate is verified. Raises OSError."""
    plain = socket.create_connection((host, port), timeout=timeout_s)
    if not tls:
        return plain
    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def address(host: str, port: int) -> str:
    """Return ``host:port``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return links
