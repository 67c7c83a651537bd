"""What callers may do whom API Gateway has authorized: ``GATEWAY_ROLES``."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request

from cloud_functions.api.security.gateway.callers import caller_roles
from cloud_functions.api.security.permissions import PERMISSIONS, Permission, Principal, caller_of, missing_permission
from cloud_functions.api.security.roles import ROLES, is_permission, is_role
from shared.errors import ConfigurationError

GatewayRoles = Mapping[str, frozenset[Permission]]
"""The permissions of each group, role, scope or IAM role."""


class GatewayAuthorizer:
    """Grants callers the permissions of their roles, and those that a scope of their token names.

    A caller without any is rejected. ``plates:reveal`` is not granted here: ``PLATE_READERS_ROLE`` decides about it.
    """

    def __init__(self, roles: GatewayRoles) -> None:
        self._roles = roles

    async def authorize(self, request: Request, permission: Permission) -> Principal:
        """Return the caller; raise the 403 Problem if the caller does not have the permission."""
        caller = caller_of(request)
        principal = caller.principal or Principal(name="anonymous", permissions=self._permissions(request))
        if permission not in principal.permissions:
            raise missing_permission(permission)
        return principal

    def _permissions(self, request: Request) -> frozenset[Permission]:
        names = caller_roles(request)
        granted: set[Permission] = {name for name in names if is_permission(name)}
        granted.update(*(self._roles[name] for name in names if name in self._roles))
        return frozenset(granted - {"plates:reveal"})


def gateway_roles(text: str | None) -> GatewayRoles | None:
    """Return the permissions that ``GATEWAY_ROLES`` gives (``NAME=ROLE`` or ``NAME=PERMISSION``); None if it is unset.

    A name may stand several times. Raises ConfigurationError for an unknown role or permission.
    """
    if text is None:
        return None
    roles: dict[str, frozenset[Permission]] = {}
    for entry in text.replace(",", " ").split():
        name, separator, given = entry.rpartition("=")
        permissions = _permissions_named(given)
        if not separator or not name or permissions is None:
            raise ConfigurationError(
                f"GATEWAY_ROLES must be NAME=ROLE, ... with a role ({', '.join(ROLES)}) or a permission such as"
                f" {next(iter(PERMISSIONS))}"
            )
        roles[name] = roles.get(name, frozenset()) | permissions
    return roles


def _permissions_named(text: str) -> frozenset[Permission] | None:
    """Return the permissions of a role, or the one permission of this name; None for another text."""
    if is_role(text):
        return ROLES[text]
    return frozenset({text}) if is_permission(text) else None
