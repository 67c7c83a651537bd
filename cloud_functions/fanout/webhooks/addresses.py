"""Decides to which addresses a webhook may connect, so that it cannot reach into the network of the deployment.

A name is resolved once, and the connection goes to an address that was checked: a second lookup, which might return
another address, does not happen.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeGuard

from shared.errors import ConfigurationError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Sequence[str]]

_NEVER: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local, with the metadata services of AWS, Azure and Google
        "fe80::/10",
        "fd00:ec2::/32",  # metadata service of AWS over IPv6
        "100.100.100.200/32",  # metadata service of Alibaba
        "0.0.0.0/8",
        "::/128",
        "224.0.0.0/4",
        "ff00::/8",
        "240.0.0.0/4",
    )
)
"""Not reachable by any setting."""
_TRANSLATED: Final = tuple(
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::ffff:0:0:0/96")
)
"""IPv6 networks whose addresses contain an IPv4 address, which would escape the check."""
_NOT_PUBLIC: Final = (ipaddress.ip_network("::/96"), ipaddress.ip_network("fec0::/10"))
"""IPv4-compatible and site-local addresses, which are deprecated: ``ipaddress`` calls them global."""


class AddressPolicy:
    """Which addresses are allowed: public ones, and those in the given networks."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    @classmethod
    def parse(cls, text: str) -> AddressPolicy:
        """Return the policy for a list of networks such as ``10.0.0.0/8, fd12::/16``; raise ConfigurationError."""
        try:
            return cls([ipaddress.ip_network(part) for part in text.replace(",", " ").split()])
        except ValueError:
            raise ConfigurationError(
                "WEBHOOK_ALLOWED_NETWORKS must be a list of networks such as 10.0.0.0/8, 192.168.1.0/24"
            ) from None

    def allows(self, text: str) -> bool:
        """Return whether a webhook may connect to the address."""
        address = _unmapped(text)
        return _is_possible(address) and (
            (address.is_global and not _is_in(address, _NOT_PUBLIC)) or _is_in(address, self._networks)
        )

    def allows_private(self, text: str) -> bool:
        """Return whether the address is in one of the networks of the setting, in which plain http is accepted."""
        address = _unmapped(text)
        return _is_possible(address) and _is_in(address, self._networks)


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host; raise OSError if it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _unmapped(text: str) -> Address | None:
    """Return the address, and of an IPv4 address in IPv6 form the IPv4 address; None for anything else."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _is_possible(address: Address | None) -> TypeGuard[Address]:
    return address is not None and not _is_in(address, (*_NEVER, *_TRANSLATED))


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
