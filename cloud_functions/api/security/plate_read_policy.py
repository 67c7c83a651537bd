"""The policy that decides which requests may read protected plates. It denies by default, unlike permissions.

A request that may not read plates still gets the reads, with a token in place of each protected plate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Self

from fastapi import Depends, Request

from cloud_functions.api.security.gateway.callers import caller_roles
from cloud_functions.api.security.permissions import Permission, caller_of
from cloud_functions.settings import PlateSettings

REVEAL: Final[Permission] = "plates:reveal"


@dataclass(frozen=True, slots=True)
class PlateReadPolicy:
    """Decides whether a request may read protected plates."""

    name: str
    may_read: Callable[[Request], bool]

    @classmethod
    def deny_all(cls) -> Self:
        """Return the default policy: no request may read protected plates."""
        return cls("deny_all", lambda _: False)

    @classmethod
    def allow_all(cls) -> Self:
        """Return the policy for an API that only trusted users can reach: every request may read them."""
        return cls("allow_all", lambda _: True)

    @classmethod
    def require_role(cls, role: str) -> Self:
        """Return the policy that requires a role.

        The role is a group, role or scope in the token that API Gateway verified, or the caller's IAM role. Only the
        gateway's request context is read, never a header that a client can set.
        """
        return cls("require_role", lambda request: role in caller_roles(request))

    @classmethod
    def require_permission(cls) -> Self:
        """Return the policy of an API with users: it requires the permission ``plates:reveal``."""
        return cls("require_permission", lambda request: REVEAL in _permissions(request))

    @classmethod
    def from_settings(cls, settings: PlateSettings, *, with_users: bool = False) -> Self:
        """Return the policy that ``PLATE_READERS_EVERYBODY``, users and ``PLATE_READERS_ROLE`` select, in this order.

        With users, ``PLATE_READERS_ROLE`` has no effect: no gateway verifies a role.
        """
        if settings.everybody_reads:
            return cls.allow_all()
        if with_users:
            return cls.require_permission()
        return cls.deny_all() if settings.readers_role is None else cls.require_role(settings.readers_role)


def _permissions(request: Request) -> frozenset[Permission]:
    """Return the permissions of the caller whom the route's permission check has identified."""
    principal = caller_of(request).principal
    return frozenset() if principal is None else principal.permissions


async def _may_read_plates(request: Request) -> bool:
    policy: PlateReadPolicy = request.app.state.dependencies.plate_access.read_policy
    return policy.may_read(request)


_may_read_plates.revealing_permission = REVEAL  # type: ignore[attr-defined]  # read by ``revealing_permission``

MayReadPlates = Annotated[bool, Depends(_may_read_plates)]
"""FastAPI dependency: whether the request may read protected plates."""
