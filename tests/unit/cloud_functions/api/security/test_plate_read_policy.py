"""``PlateReadPolicy`` denies by default and trusts only the gateway's request context."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Request

from cloud_functions.api.security.permissions import Principal, caller_of
from cloud_functions.api.security.plate_read_policy import PlateReadPolicy
from cloud_functions.api.security.roles import permissions_of
from cloud_functions.settings import Environment, PlateSettings


def request(context: dict[str, Any] | None = None, **headers: str) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    if context is not None:
        scope["aws.event"] = {"requestContext": context}
    return Request(scope)


ROLE = "plate-readers"
IAM = "arn:aws:sts::123456789012:assumed-role/plate-readers/alice"


@pytest.mark.parametrize(
    "context",
    [
        {"authorizer": {"jwt": {"claims": {"cognito:groups": "[viewers plate-readers]"}}}},
        {"authorizer": {"jwt": {"claims": {"roles": ["plate-readers"]}, "scopes": None}}},
        {"authorizer": {"jwt": {"claims": {"scope": "openid plate-readers"}}}},
        {"authorizer": {"claims": {"cognito:groups": "viewers,plate-readers"}}},
        {"authorizer": {"lambda": {"role": "plate-readers"}}},
        {"authorizer": {"role": "plate-readers"}},
        {"authorizer": {"iam": {"userArn": IAM}}},
        {"identity": {"userArn": IAM}},
        {"identity": {"userArn": "arn:aws:iam::123456789012:role/teams/plate-readers"}, "authorizer": None},
    ],
)
def test_the_request_context_grants_the_role(context: dict[str, Any]) -> None:
    """The role is found in every format of HTTP and REST APIs, tokens, Lambda authorizers and IAM."""
    assert PlateReadPolicy.require_role(ROLE).may_read(request(context))


@pytest.mark.parametrize(
    "context",
    [
        None,
        {},
        {"authorizer": None},
        {"authorizer": {"jwt": {"claims": {"cognito:groups": "[plate-readers-not]", "name": "plate-readers"}}}},
        {"authorizer": {"jwt": {"claims": {"roles": 7}}}},
        {"authorizer": {"iam": {"userArn": "arn:aws:sts::123456789012:assumed-role/other/plate-readers"}}},
        {"authorizer": {"iam": {"userArn": "arn:aws:iam::123456789012:user/plate-readers"}}},
        {"identity": {"userArn": None}},
    ],
)
def test_other_values_do_not_grant_the_role(context: dict[str, Any] | None) -> None:
    """A similar name, a user or a session of that name, a header, or no gateway grants nothing."""
    assert not PlateReadPolicy.require_role(ROLE).may_read(
        request(context, authorization="plate-readers", role="plate-readers")
    )


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "deny_all"),
        ({"PLATE_READERS_ROLE": ROLE}, "require_role"),
        ({"PLATE_READERS_ROLE": ROLE, "PLATE_READERS_EVERYBODY": "true"}, "allow_all"),
    ],
)
def test_settings_select_the_policy(variables: dict[str, str], name: str) -> None:
    """The policy denies all requests unless a role or everybody is configured."""
    settings = PlateSettings.from_environment(Environment(variables))
    assert PlateReadPolicy.from_settings(settings).name == name


def test_with_users_the_permission_decides() -> None:
    """The caller whom the permission check identified needs ``plates:reveal``; a role of the gateway counts nothing."""
    settings = PlateSettings.from_environment(Environment({"PLATE_READERS_ROLE": ROLE}))
    policy = PlateReadPolicy.from_settings(settings, with_users=True)
    nobody = request({"authorizer": {"role": ROLE}})
    assert not policy.may_read(nobody)
    caller_of(nobody).principal = Principal(name="ana", permissions=permissions_of("operator"))
    assert not policy.may_read(nobody)
    caller_of(nobody).principal = Principal(name="root", permissions=permissions_of("admin"))
    assert policy.may_read(nobody)
    everybody = PlateSettings.from_environment(Environment({"PLATE_READERS_EVERYBODY": "true"}))
    assert PlateReadPolicy.from_settings(everybody, with_users=True).name == "allow_all"


def test_deny_all_and_allow_all_ignore_the_role() -> None:
    """``deny_all`` refuses a caller who has the role; ``allow_all`` accepts a caller without one."""
    assert not PlateReadPolicy.deny_all().may_read(request({"authorizer": {"role": ROLE}}))
    assert PlateReadPolicy.allow_all().may_read(request())
