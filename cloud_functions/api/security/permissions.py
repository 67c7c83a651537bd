"""Permissions: the table of all permissions, and the dependency with which a route requires one of them.

The routes, the ``x-permission`` keys of the OpenAPI document, ``docs/reference/api.md`` and a test are derived from
``PERMISSIONS``. A caller who is limited to camera groups reaches only the routes that apply this limit
(``require_in_scope``) and those that concern no camera (``WITHOUT_CAMERAS``). ``AllowAll`` grants every permission
except those in ``denied``. It suits a loopback interface and an API whose gateway authorizes callers.
``user_authorizer`` checks users and API keys.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal, Protocol, get_args
from uuid import UUID

from fastapi import Request
from fastapi.dependencies.models import Dependant

from cloud_functions.api.http.problems import Problem
from cloud_functions.db.cameras.scope import CameraScope

Permission = Literal[
    "events:read",
    "events:delete",
    "snapshots:read",
    "snapshots:delete",
    "watchlists:read",
    "watchlists:write",
    "cameras:read",
    "cameras:write",
    "devices:read",
    "groups:read",
    "groups:write",
    "export:credentials",
    "users:read",
    "users:write",
    "plates:reveal",
    "audit:read",
    "webhooks:read",
    "webhooks:write",
    "replays:read",
    "replays:write",
    "retention:read",
    "retention:write",
    "holds:write",
    "account:read",
    "account:write",
]

PERMISSIONS: Final[Mapping[Permission, str]] = MappingProxyType(
    {
        "events:read": "List, count, read and export events; search plates.",
        "events:delete": "Delete events and their snapshots.",
        "snapshots:read": "List requested snapshots; download snapshots and thumbnails; create signed URLs.",
        "snapshots:delete": "Delete requested snapshots with their images.",
        "watchlists:read": "List watch-lists and their patterns.",
        "watchlists:write": "Create, change and delete watch-lists and their patterns.",
        "cameras:read": "List and read cameras, their status and health, without their passwords; export them; capture"
        " snapshots.",
        "cameras:write": "Create, change, import and delete cameras; switch them on and off.",
        "devices:read": "List and read devices, their state and their configuration.",
        "groups:read": "List and read camera groups.",
        "groups:write": "Create, change and delete camera groups.",
        "export:credentials": "Export cameras with their user names and passwords (`include_credentials`).",
        "users:read": "List and read users and API keys.",
        "users:write": "Create, change and delete users; reset passwords; create and revoke API keys.",
        "plates:reveal": "Read the plates of protected sites, and search them by prefix or similarity.",
        "audit:read": "Read the audit log: who did or viewed what.",
        "webhooks:read": "List and read webhooks, without their secrets, and the log of their deliveries.",
        "webhooks:write": "Register, change and delete webhooks; rotate their secrets; send tests; deliver again.",
        "replays:read": "List and read replays: which stored events were sent to a subscriber again.",
        "replays:write": "Send stored events to a webhook, or to another target of events, again; cancel that.",
        "retention:read": "Read retention policies, what they will delete, and legal holds.",
        "retention:write": "Create, change and delete retention policies.",
        "holds:write": "Place and release legal holds.",
        "account:read": "Read who the caller is, and the caller's permissions.",
        "account:write": "Change the caller's own password.",
    }
)
"""Every permission and what it allows."""
assert set(PERMISSIONS) == set(get_args(Permission))  # noqa: S101 - a permission without a description

WITHOUT_CAMERAS: Final[frozenset[Permission]] = frozenset({"account:read", "account:write", "watchlists:read"})
"""Permissions that concern no camera, so that a limit to camera groups does not apply to them."""
_CALLER: Final = "vedette.caller"
"""Scope key of the ``RequestCaller``."""
_FALSE: Final = frozenset({"false", "0", "no", "off", "f", "n"})
PUBLIC_OPERATIONS: Final = frozenset(
    {
        "health",
        "login",
        "login_json",
        "refresh_session",
        "logout",
        "reset_password",
        "get_session",
        "begin_session",
        "end_session",
    }
)
"""Names of the documented routes that require no permission."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller was authorized by, so that something longer than a request can end with it."""

    kind: Literal["token", "session", "api_key", "issuer"]
    family: UUID | None = None
    """Session of an access token."""
    session_hash: bytes | None = field(default=None, repr=False)
    """Of a session cookie."""
    key_id: UUID | None = None
    ends_at: datetime | None = None
    """When the token of an issuer expires."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of the API."""

    name: str
    kind: Literal["anonymous", "user", "api_key"] = "anonymous"
    permissions: frozenset[Permission] = frozenset(PERMISSIONS)
    user_id: UUID | None = None
    """Id of the user; None for an API key and for an anonymous caller."""
    groups: tuple[str, ...] | None = None
    """Slugs of the camera groups that the caller is limited to; None for no limit."""
    credential: Credential | None = field(default=None, compare=False, repr=False)
    """None for an anonymous caller."""

    @property
    def scope(self) -> CameraScope | None:
        """The limit to camera groups, for queries; None for no limit."""
        return None if self.groups is None else CameraScope(self.groups)


@dataclass(slots=True)
class RequestCaller:
    """What is known about the caller of one request, filled in while the request is authorized."""

    principal: Principal | None = None
    permission: Permission | None = None
    """The permission that the route requires."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Headers of the response: the state of the caller's rate limit."""


def caller_of(request: Request) -> RequestCaller:
    """Return the caller of the request, as far as it is known."""
    return request.scope.setdefault(_CALLER, RequestCaller())


class Authorizer(Protocol):
    """Decides whether a request has a permission."""

    async def authorize(self, request: Request, permission: Permission) -> Principal:
        """Return the caller; raise a 401 or 403 ``Problem`` if the request does not have the permission."""
        ...


class AllowAll:
    """Grants every permission to every request, except those in ``denied``."""

    def __init__(self, *, denied: Collection[Permission] = ()) -> None:
        self._denied = frozenset(denied)

    async def authorize(self, request: Request, permission: Permission) -> Principal:  # noqa: ARG002 - allows all
        if permission in self._denied:
            raise Problem(403, "forbidden", f"This API grants nobody the permission {permission}.")
        return Principal(name="anonymous", permissions=frozenset(PERMISSIONS) - self._denied)


def missing_permission(permission: Permission) -> Problem:
    """Return the 403 for a caller who does not have the permission."""
    return Problem(403, "forbidden", f"This request needs the permission {permission}.")


def require(permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
    """Return the FastAPI dependency that requires ``permission``.

    Callers who are limited to camera groups are rejected (403), unless the permission is in ``WITHOUT_CAMERAS``.
    """

    async def check(request: Request) -> Principal:
        principal = await _authorized(request, permission)
        if principal.groups is not None and permission not in WITHOUT_CAMERAS:
            detail = "You are limited to camera groups, and this request concerns more than their cameras."
            raise Problem(403, "limited-to-groups", detail)
        return principal

    check.permission = permission  # type: ignore[attr-defined]  # read by ``required_permission``
    return check


def require_in_scope(permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
    """Return the FastAPI dependency that requires ``permission``, for a route that applies ``Principal.scope``.

    Every query of the route takes the scope: an object outside of it does not exist for the caller (404), and creating
    one there is a 403 (``outside-groups``).
    """

    async def check(request: Request) -> Principal:
        return await _authorized(request, permission)

    check.permission = permission  # type: ignore[attr-defined]  # as above
    check.applies_scope = True  # type: ignore[attr-defined]  # read by ``applies_scope``
    return check


async def _authorized(request: Request, permission: Permission) -> Principal:
    authorizer: Authorizer = request.app.state.dependencies.authorizer
    caller = caller_of(request)
    caller.permission = permission
    caller.principal = await authorizer.authorize(request, permission)
    return caller.principal


def outside_groups(detail: str) -> Problem:
    """Return the 403 Problem for a write that concerns a camera outside of the caller's camera groups."""
    return Problem(403, "outside-groups", detail)


def require_if(parameter: str, permission: Permission) -> Callable[[Request], Awaitable[None]]:
    """Return the FastAPI dependency that requires ``permission`` if the boolean query ``parameter`` is true."""

    async def check(request: Request) -> None:
        if request.query_params.get(parameter, "false").lower() not in _FALSE:
            authorizer: Authorizer = request.app.state.dependencies.authorizer
            await authorizer.authorize(request, permission)

    check.conditional_permission = (parameter, permission)  # type: ignore[attr-defined]  # as above
    return check


def conditional_permissions(dependant: Dependant) -> dict[str, Permission]:
    """Return the permissions that a route requires besides its own one, by the parameter that requires them."""
    found = (getattr(dependency.call, "conditional_permission", None) for dependency in dependant.dependencies)
    return dict(pair for pair in found if pair is not None)


def applies_scope(dependant: Dependant) -> bool:
    """Return whether the route applies the limit of a caller to camera groups."""
    return any(getattr(dependency.call, "applies_scope", False) for dependency in dependant.dependencies)


def group_limit(dependant: Dependant) -> Literal["applied", "not concerned", "rejected"]:
    """Return what the route, which requires a permission, does for a caller who is limited to camera groups."""
    if applies_scope(dependant):
        return "applied"
    return "not concerned" if required_permission(dependant) in WITHOUT_CAMERAS else "rejected"


def revealing_permission(dependant: Dependant) -> Permission | None:
    """Return the permission with which a route shows protected plates, or None if it never does."""
    found = (getattr(dependency.call, "revealing_permission", None) for dependency in dependant.dependencies)
    return next((permission for permission in found if permission is not None), None)


def required_permission(dependant: Dependant) -> Permission | None:
    """Return the permission that a route requires, or None for a public route."""
    for dependency in dependant.dependencies:
        permission: Permission | None = getattr(dependency.call, "permission", None)
        if permission is not None:
            return permission
    return None
