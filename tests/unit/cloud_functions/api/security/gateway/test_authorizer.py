"""Callers whom API Gateway has authorized have the permissions of their roles, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cloud_functions.api.handler import ApiHandler
from cloud_functions.api.security.gateway.authorizer import GatewayAuthorizer, gateway_roles
from cloud_functions.api.security.permissions import PERMISSIONS, AllowAll
from cloud_functions.api.security.roles import ROLES
from cloud_functions.api.settings import ApiSettings
from cloud_functions.api.wiring import lambda_app
from shared.errors import ConfigurationError
from tests.support.api_calls import ApiCalls, http_api_event, lambda_api

TEXT = "staff=viewer, guards=operator admins=admin Auditors=audit:read Auditors=events:read"
VARIABLES = {"DATABASE_URL": "postgresql://unused", "SNAPSHOT_BUCKET": "unused"}
IAM = "arn:aws:sts::123456789012:assumed-role/guards/session"


def _claims(**claims: Any) -> dict[str, Any]:
    return {"jwt": {"claims": claims, "scopes": None}}


@pytest.fixture
def handler() -> Iterator[ApiHandler]:
    roles = gateway_roles(TEXT)
    assert roles is not None
    handler, _ = lambda_api(authorizer=GatewayAuthorizer(roles))
    yield handler
    handler.close()


def _permissions(handler: ApiHandler, authorizer: Any, **headers: str) -> set[str]:
    """Return what a caller may do, as its own account says; empty for a caller who may do nothing."""
    event = http_api_event("GET", "/api/v1/auth/me", headers=headers)
    event["requestContext"]["authorizer"] = authorizer
    answer = ApiCalls(handler).invoke(event)
    if answer.status == 403:
        return set()
    return set(answer.json()["permissions"])


@pytest.mark.parametrize(
    ("authorizer", "granted"),
    [
        (_claims(**{"cognito:groups": "[staff others]"}), ROLES["viewer"]),
        (_claims(groups=["staff", "guards"]), ROLES["operator"]),
        (_claims(scope="openid account:read cameras:read"), {"account:read", "cameras:read"}),
        (_claims(groups="staff", scope="events:delete"), ROLES["viewer"] | {"events:delete"}),
        (_claims(roles=["staff", "Auditors"]), ROLES["viewer"] | {"audit:read"}),
        ({"lambda": {"role": "admins"}}, set(PERMISSIONS) - {"plates:reveal"}),
        ({"iam": {"userArn": IAM}}, ROLES["operator"]),
    ],
)
def test_roles_and_scopes_grant_permissions(handler: ApiHandler, authorizer: Any, granted: set[str]) -> None:
    """Those of all groups, roles and scopes together."""
    assert _permissions(handler, authorizer) == granted


@pytest.mark.parametrize(
    "authorizer",
    [
        None,
        {},
        _claims(sub="admins"),
        _claims(groups="admin operator viewer"),
        _claims(groups="Admins", scope="events account"),
        {"iam": {"userArn": "arn:aws:iam::123456789012:user/admins"}},
        {"iam": {"userArn": "arn:aws:sts::123456789012:assumed-role/other/admins"}},
    ],
)
def test_a_caller_without_a_role_may_do_nothing(handler: ApiHandler, authorizer: Any) -> None:
    """Names are compared exactly, a header counts nothing, and a role of Vedette is not the name of a group."""
    assert _permissions(handler, authorizer, authorization="Bearer admins", role="admins") == set()
    assert ApiCalls(handler).get("/api/events").status == 403


def test_each_route_requires_its_permission(handler: ApiHandler) -> None:
    """A caller with all permissions but one is rejected by the routes of this one alone."""
    paths = ApiCalls(handler).get("/openapi.json").json()["paths"]
    routes = {
        operation["x-permission"]: (method.upper(), path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "x-permission" in operation and "{" not in path
    }
    assert {"events:read", "events:delete", "users:write", "watchlists:write"} <= set(routes)
    for permission, (method, path) in routes.items():
        for scopes, is_allowed in ({permission}, True), (set(PERMISSIONS) - {permission}, False):
            event = http_api_event(method, path, body="{}" if method != "GET" else None)
            event["requestContext"]["authorizer"] = _claims(scope=" ".join(sorted(scopes)))
            assert (ApiCalls(handler).invoke(event).status != 403) == is_allowed, (method, path, permission)


def test_the_setting_selects_the_authorizer() -> None:
    """Without it, an installation goes on as before."""
    settings = ApiSettings.from_environment(VARIABLES | {"GATEWAY_ROLES": TEXT})
    assert isinstance(lambda_app(settings).state.dependencies.authorizer, GatewayAuthorizer)
    settings = ApiSettings.from_environment(VARIABLES)
    assert isinstance(lambda_app(settings).state.dependencies.authorizer, AllowAll)


@pytest.mark.parametrize("text", ["staff", "staff=owner", "=viewer", "staff=", "a=viewer,b"])
def test_an_invalid_list_of_roles_is_reported(text: str) -> None:
    """The error names the variable."""
    with pytest.raises(ConfigurationError, match="GATEWAY_ROLES must be NAME=ROLE"):
        ApiSettings.from_environment(VARIABLES | {"GATEWAY_ROLES": text})


def test_roles_of_a_gateway_and_users_exclude_each_other() -> None:
    """With users, no gateway verifies a role."""
    with pytest.raises(ConfigurationError, match="GATEWAY_ROLES requires API_AUTHENTICATION=gateway"):
        ApiSettings.from_environment(VARIABLES | {"GATEWAY_ROLES": TEXT, "API_AUTHENTICATION": "users"})
