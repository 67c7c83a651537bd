"""The roles of users. Each role has the permissions of the roles below it; ``admin`` has all of ``PERMISSIONS``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeGuard, get_args

from cloud_functions.api.security.permissions import PERMISSIONS, Permission

Role = Literal["admin", "operator", "viewer"]

_VIEWER: Final = frozenset[Permission](
    {
        "events:read",
        "snapshots:read",
        "watchlists:read",
        "cameras:read",
        "devices:read",
        "groups:read",
        "account:read",
        "account:write",
    }
)
_OPERATOR: Final = _VIEWER | frozenset[Permission](
    {"events:delete", "snapshots:delete", "watchlists:write", "cameras:write", "retention:read"}
)

ROLES: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {"admin": frozenset(PERMISSIONS), "operator": _OPERATOR, "viewer": _VIEWER}
)
"""The permissions of each role. A permission that no other role names is for admins only."""
assert set(ROLES) == set(get_args(Role))  # noqa: S101 - a role without permissions


def is_role(text: str) -> TypeGuard[Role]:
    """Return whether the text is the name of a role."""
    return text in ROLES


def is_permission(text: str) -> TypeGuard[Permission]:
    """Return whether the text is the name of a permission."""
    return text in PERMISSIONS


def permissions_of(role: str) -> frozenset[Permission]:
    """Return the permissions of a role; none for a role that does not exist, for example one of a newer release."""
    return ROLES[role] if is_role(role) else frozenset()
