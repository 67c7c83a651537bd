"""The roles of users, and of callers whom API Gateway has authorized (``GATEWAY_ROLES``).

Each role has the permissions of the roles below it; ``admin`` has all of ``PERMISSIONS``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeGuard, get_args

from fastapi import Request

from cloud_functions.api.http.problems import Problem
from cloud_functions.api.security.permissions import PERMISSIONS, Permission, Principal, caller_of
from shared.errors import ConfigurationError

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

_ROLE_CLAIMS: Final = ("cognito:groups", "groups", "roles", "role", "scope")
_NAME_SEPARATORS: Final = re.compile(r"[\s,\[\]\"]+", re.ASCII)
_IAM_ROLE_ARN: Final = re.compile(
    r"arn:[^:]+:(?:sts::\d*:assumed-role/(?P<assumed>[^/]+)/[^/]+|iam::\d*:role/(?:[^/]+/)*(?P<role>[^/]+))",
    re.ASCII,
)
GatewayRoles = Mapping[str, frozenset[Permission]]
"""The permissions of each group, role, scope or IAM role."""


def is_role(text: str) -> TypeGuard[Role]:
    """Return whether the text is the name of a role."""
    return text in ROLES


def is_permission(text: str) -> TypeGuard[Permission]:
    """Return whether the text is the name of a permission."""
    return text in PERMISSIONS


def permissions_of(role: str) -> frozenset[Permission]:
    """Return the permissions of a role; none for a role that does not exist, for example one of a newer release."""
    return ROLES[role] if is_role(role) else frozenset()


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
            raise Problem(403, "forbidden", f"This request needs the permission {permission}.")
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


def caller_roles(request: Request) -> set[str]:
    """Return the groups, roles and scopes in the token that API Gateway verified, or the name of the IAM role.

    Only the gateway's request context is read, never a header that a client can set.
    """
    event: Mapping[str, Any] = request.scope.get("aws.event") or {}
    context: Mapping[str, Any] = event.get("requestContext") or {}
    return {*_claimed_roles(context.get("authorizer") or {}), *_iam_roles(context)}


def _claimed_roles(authorizer: Mapping[str, Any]) -> Iterator[str]:
    jwt: Mapping[str, Any] = authorizer.get("jwt") or {}
    for claims in (jwt.get("claims"), authorizer.get("claims"), authorizer.get("lambda"), authorizer):
        if isinstance(claims, Mapping):
            for name in _ROLE_CLAIMS:
                yield from _claim_names(claims.get(name))


def _claim_names(claim: object) -> list[str]:
    """Return the names in a claim: a list, or a string in one of the gateway's list formats (``[a b]``, ``a,b``)."""
    if isinstance(claim, list):
        return [str(name) for name in claim]
    return _NAME_SEPARATORS.split(claim) if isinstance(claim, str) else []


def _iam_roles(context: Mapping[str, Any]) -> Iterator[str]:
    authorizer: Mapping[str, Any] = context.get("authorizer") or {}
    iam: Mapping[str, Any] = authorizer.get("iam") or {}
    identity: Mapping[str, Any] = context.get("identity") or {}
    for arn in (iam.get("userArn"), identity.get("userArn")):
        match = _IAM_ROLE_ARN.fullmatch(arn) if isinstance(arn, str) else None
        if match is not None:
            yield match["assumed"] or match["role"]
