"""The authorization seam: every route goes through it, and what it decides holds."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Request
from fastapi.routing import APIRoute

from cloud_functions.api.app import create_app
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.security.permissions import Permission, Principal
from tests.support.api_calls import ApiCalls, filled_path, lambda_api

OPEN_TO_ALL = {
    "/",
    "/health",
    "/api/health",
    "/api/v1/health",
    "/docs",
    "/redoc",
    "/docs-assets/{name}",
    "/openapi.json",
}


class NobodyMay:
    """Refuses everything and remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def authorize(self, request: Request, permission: Permission) -> Principal:
        self.asked.append(permission)
        raise Problem(403, "forbidden", "You may not.")


def _operations() -> list[tuple[str, str]]:
    handler, resources = lambda_api()
    paths: dict[str, Any] = create_app(resources=resources).openapi()["paths"]
    handler.close()
    return [(method.upper(), path) for path, operations in paths.items() for method in operations]


@pytest.mark.parametrize("mount", ["/api", "/api/v1"])
def test_no_operation_is_reached_without_permission(mount: str) -> None:
    """With everything forbidden, every operation but health answers 403, under both addresses."""
    authorizer = NobodyMay()
    handler, _ = lambda_api(authorizer=authorizer)
    calls = ApiCalls(handler)
    checked = 0
    for method, path in _operations():
        if path in OPEN_TO_ALL:
            continue
        answer = calls.call(
            method,
            filled_path(path).replace("/api", mount, 1),
            body='{"camera_id": "a"}' if method in ("POST", "PUT") else None,
        )
        assert answer.status == 403, (method, path, answer)
        checked += 1
    handler.close()
    assert checked == 25
    assert set(authorizer.asked) == {
        "events:read",
        "events:delete",
        "snapshots:read",
        "watchlists:read",
        "watchlists:write",
    }


def test_deleting_asks_for_the_permission_to_delete() -> None:
    """Reading rights are not enough to delete."""
    authorizer = NobodyMay()
    handler, _ = lambda_api(authorizer=authorizer)
    ApiCalls(handler).delete("/api/events/1")
    ApiCalls(handler).post("/api/events/delete", {"camera_id": "a"})
    handler.close()
    assert authorizer.asked == ["events:delete", "events:delete"]


def test_only_these_addresses_are_open_to_all() -> None:
    """A new route without ``require`` fails here: open ones are named one by one."""
    handler, resources = lambda_api()
    app = create_app(resources=resources)
    handler.close()
    documented = set(app.openapi()["paths"])
    open_documented = documented & OPEN_TO_ALL
    assert open_documented == {"/api/health"}
    assert {route.path for route in app.routes if isinstance(route, APIRoute)} <= OPEN_TO_ALL | documented | {
        path.replace("/api", "/api/v1", 1) for path in documented
    }
