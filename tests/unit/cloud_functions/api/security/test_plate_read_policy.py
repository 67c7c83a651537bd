"""Who may read protected plates: nobody by default, and only by what the gateway says."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Request

from cloud_functions.api.security.plate_read_policy import EverybodyReads, NobodyReads, RoleReads, plate_readers
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
def test_the_gateway_says_who_has_the_role(context: dict[str, Any]) -> None:
    """HTTP and REST APIs, tokens, Lambda authorizers and IAM write it in their own ways."""
    assert RoleReads(ROLE).may_read(request(context))


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
def test_nothing_else_is_the_role(context: dict[str, Any] | None) -> None:
    """A name that resembles it, a user or a session called so, or no gateway at all."""
    assert not RoleReads(ROLE).may_read(request(context, authorization="plate-readers", role="plate-readers"))


def test_the_settings_say_who() -> None:
    """Nobody, unless they say otherwise."""
    choices = {
        (): NobodyReads,
        (("PLATE_READERS_ROLE", ROLE),): RoleReads,
        (("PLATE_READERS_ROLE", ROLE), ("PLATE_READERS_EVERYBODY", "true")): EverybodyReads,
    }
    for variables, kind in choices.items():
        chosen = plate_readers(PlateSettings.from_environment(Environment(dict(variables))))
        assert isinstance(chosen, kind)
    assert not NobodyReads().may_read(request({"authorizer": {"role": ROLE}}))
    assert EverybodyReads().may_read(request())
