"""The address of a metrics server in a setting: ``127.0.0.1:9464``, ``[::1]:9464`` or ``localhost:9464``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a server listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """Return the address that ``text`` names. Raises ValueError that says how to write it."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""  # an IPv6 address without brackets
    try:
        if host != "localhost":
            host = str(ipaddress.ip_address(host))
    except ValueError:
        host = ""
    if not colon or not host:
        raise ValueError("write IP:PORT, for example 127.0.0.1:9464 (this machine only) or 0.0.0.0:9464 (the network)")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError("the port must be a number from 1 to 65535, for example 127.0.0.1:9464")
    return ListenAddress(host, int(port))
