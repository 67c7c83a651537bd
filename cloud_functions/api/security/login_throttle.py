"""Limits log-in attempts, for each account and for each address that they come from.

The limit of an account stops guessing one password from many addresses; the limit of an address stops trying one
password on many accounts. Somebody else can therefore lock an account for up to ``WINDOW``; its sessions and API keys
keep working meanwhile.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from datetime import timedelta
from typing import Final
from uuid import UUID

from fastapi import Request

from cloud_functions.api.http.problems import Problem
from cloud_functions.db.types import Connection
from cloud_functions.db.users.login_attempts import (
    count_attempt,
    delete_expired_attempts,
    forget_attempts,
    take_back_attempt,
)

WINDOW: Final = timedelta(minutes=15)
MAX_PER_ACCOUNT: Final = 10
MAX_PER_ADDRESS: Final = 100
_DELETED_PER_ATTEMPT: Final = 10
_IPV6_NETWORK_BITS: Final = 64


def count_login_attempt(connection: Connection, *, account: str, address: str) -> float | None:
    """Count one attempt; return None if it is within the limits, else the seconds until the next is accepted."""
    counts = (
        (count_attempt(connection, account, window=WINDOW), MAX_PER_ACCOUNT),
        (count_attempt(connection, address, window=WINDOW), MAX_PER_ADDRESS),
    )
    delete_expired_attempts(connection, limit=_DELETED_PER_ATTEMPT)  # last: it waits for no lock, so no deadlock
    return max((count.window_ends_in_s for count, limit in counts if count.attempts > limit), default=None)


def login_succeeded(connection: Connection, *, account: str, address: str) -> None:
    """Forget the attempts on the account, and this attempt from the address."""
    forget_attempts(connection, account)
    take_back_attempt(connection, address)


def too_many_attempts(wait_s: float) -> Problem:
    """Return the 429 Problem."""
    detail = "Too many log-in attempts. Retry after the time in Retry-After."
    return Problem(429, "too-many-attempts", detail, headers={"Retry-After": str(max(1, math.ceil(wait_s)))})


def account_subject(login: str, user_id: UUID | None) -> str:
    """Return the subject that counts attempts on a user, or on the name of a user who does not exist.

    The name is hashed, because people sometimes type their password in its place.
    """
    return f"account:{user_id or hashlib.sha256(login.lower().encode()).hexdigest()}"


def address_subject(request: Request) -> str:
    """Return the subject that counts attempts from the client's address, or from its /64 network with IPv6."""
    host = "" if request.client is None else request.client.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "address:unknown"
    if address.version == 6:
        return f"address:{ipaddress.ip_network((address, _IPV6_NETWORK_BITS), strict=False)}"
    return f"address:{address}"
