"""Who may do what: the one seam every route goes through.

Today everybody may do everything, which is right for a loopback stack and for an API behind an authorizer of yours. The
built-in users and keys take their place here, in ``Authorizer``, without a route being touched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from fastapi import Request

Permission = Literal["events:read", "events:delete", "snapshots:read", "watchlists:read", "watchlists:write"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking."""

    name: str


class Authorizer(Protocol):
    """Decides whether a request may do a thing."""

    async def authorize(self, request: Request, permission: Permission) -> Principal:
        """Return who is asking; raise a ``Problem`` (401 or 403) where they may not."""
        ...


class AllowEverybody:
    """Lets every request do everything."""

    async def authorize(self, request: Request, permission: Permission) -> Principal:  # noqa: ARG002 - asks nothing
        return Principal(name="anybody")


def require(permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
    """Return the dependency that lets a route go on only where ``permission`` is given."""

    async def check(request: Request) -> Principal:
        authorizer: Authorizer = request.app.state.resources.authorizer
        return await authorizer.authorize(request, permission)

    check.permission = permission  # type: ignore[attr-defined]  # read by the test that finds a route without one
    return check
