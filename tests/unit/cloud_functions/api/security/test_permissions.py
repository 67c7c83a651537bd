"""Permissions: every route requires one of the table, and the decision of the authorizer is enforced."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Request
from fastapi.routing import iter_route_contexts

from cloud_functions.api.app import MOUNTS, create_app
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.security.permissions import PERMISSIONS, PUBLIC_OPERATIONS, Permission, Principal
from tests.support.api_calls import ApiCalls, filled_path, lambda_api

UNDOCUMENTED_PUBLIC_PATHS = {
    "/",
    "/assets/{version}/{name:path}",
    "/health",
    "/docs",
    "/redoc",
    "/docs-assets/{name}",
    "/openapi.json",
}


class DenyAll:
    """Denies every permission and records what was requested."""

    def __init__(self) -> None:
        self.requested: list[str] = []

    async def authorize(self, request: Request, permission: Permission) -> Principal:
        self.requested.append(permission)
        raise Problem(403, "forbidden", "Permission denied.")


class DenyOne(DenyAll):
    """Denies one permission and grants the others."""

    def __init__(self, denied: Permission) -> None:
        super().__init__()
        self._denied = denied

    async def authorize(self, request: Request, permission: Permission) -> Principal:
        if permission == self._denied:
            return await super().authorize(request, permission)
        self.requested.append(permission)
        return Principal(name="somebody")


def _operations() -> list[tuple[str, str, dict[str, Any]]]:
    handler, dependencies = lambda_api()
    paths: dict[str, Any] = create_app(dependencies=dependencies).openapi()["paths"]
    handler.close()
    return [
        (method.upper(), path, operation)
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]


def _mounted(path: str, mount: str) -> str:
    """Return the path under a mount. The routes of devices are under `/api/v1` only."""
    return path if path.startswith("/api/v1/") else path.replace("/api", mount, 1)


def test_every_documented_route_has_a_permission_of_the_table() -> None:
    """Only the routes in ``PUBLIC_OPERATIONS`` have none, and each row of the table is required by a route."""
    permissions = {operation["operationId"]: operation.get("x-permission") for _, _, operation in _operations()}
    conditional = {name for _, _, operation in _operations() for name in operation.get("x-permission-if", {}).values()}
    assert {name for name, permission in permissions.items() if permission is None} == PUBLIC_OPERATIONS
    revealing = {operation.get("x-permission-plates") for _, _, operation in _operations()}
    assert (set(permissions.values()) | conditional | revealing) - {None} == set(PERMISSIONS)


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_denied_permission_is_a_403_on_every_route(mount: str) -> None:
    """The permission that a route requests is the one in the OpenAPI document, under both mounts."""
    authorizer = DenyAll()
    handler, _ = lambda_api(authorizer=authorizer)
    calls = ApiCalls(handler)
    for method, path, operation in _operations():
        if operation["operationId"] in PUBLIC_OPERATIONS:
            continue
        authorizer.requested.clear()
        answer = calls.call(
            method,
            _mounted(filled_path(path), mount),
            body='{"camera_id": "a"}' if method in ("POST", "PUT") else None,
        )
        assert answer.status == 403, (method, path, answer)
        assert authorizer.requested == [operation["x-permission"]], (method, path)
    handler.close()


def test_deleting_requires_the_permission_to_delete() -> None:
    """Both routes that delete events request ``events:delete`` and no other permission."""
    authorizer = DenyAll()
    handler, _ = lambda_api(authorizer=authorizer)
    ApiCalls(handler).delete("/api/events/1")
    ApiCalls(handler).post("/api/events/delete", {"camera_id": "a"})
    handler.close()
    assert authorizer.requested == ["events:delete", "events:delete"]


@pytest.mark.parametrize(
    ("value", "requested"),
    [("true", True), ("1", True), ("yes", True), ("TRUE", True), ("maybe", True), ("false", False), ("0", False)],
)
def test_a_parameter_can_require_a_permission_of_its_own(value: str, requested: bool) -> None:
    """Exporting passwords requires ``export:credentials`` besides ``cameras:read``."""
    authorizer = DenyOne("export:credentials")
    handler, _ = lambda_api(authorizer=authorizer)
    answer = ApiCalls(handler).get("/api/cameras/export", include_credentials=value)
    handler.close()
    assert answer.status == (403 if requested else 503)
    assert ("export:credentials" in authorizer.requested) == requested


def test_no_other_route_is_public() -> None:
    """A new route that is neither documented nor in the list of public paths fails this test."""
    handler, dependencies = lambda_api()
    app = create_app(dependencies=dependencies)
    handler.close()
    documented = set(app.openapi()["paths"])
    mounted = {_mounted(path, mount) for path in documented for mount in MOUNTS}
    paths = {context.path for context in iter_route_contexts(app.routes)}
    assert mounted <= paths
    assert paths <= UNDOCUMENTED_PUBLIC_PATHS | mounted
