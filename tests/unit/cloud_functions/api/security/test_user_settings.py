"""The settings that decide who checks callers."""

from __future__ import annotations

from typing import Any

import pytest

from cloud_functions.api.security.permissions import AllowAll
from cloud_functions.api.security.user_authorizer import UserAuthorizer
from cloud_functions.api.settings import ApiSettings
from cloud_functions.api.wiring import lambda_app
from shared.errors import ConfigurationError

VARIABLES = {"DATABASE_URL": "postgresql://unused", "SNAPSHOT_BUCKET": "unused"}


def _authorizer(**variables: str) -> Any:
    return lambda_app(ApiSettings.from_environment(VARIABLES | variables)).state.dependencies.authorizer


def test_the_gateway_authorizes_by_default() -> None:
    """An installation that sets nothing goes on as before."""
    assert isinstance(_authorizer(), AllowAll)
    assert isinstance(_authorizer(API_AUTHENTICATION="gateway"), AllowAll)


def test_users_are_enabled_by_the_setting() -> None:
    """With and without a role for anonymous callers."""
    assert isinstance(_authorizer(API_AUTHENTICATION="users"), UserAuthorizer)
    assert isinstance(_authorizer(API_AUTHENTICATION="users", ANONYMOUS_ROLE="viewer"), UserAuthorizer)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"API_AUTHENTICATION": "nobody"}, "API_AUTHENTICATION must be gateway or users"),
        ({"ANONYMOUS_ROLE": "viewer"}, "ANONYMOUS_ROLE requires API_AUTHENTICATION=users"),
        ({"API_AUTHENTICATION": "users", "ANONYMOUS_ROLE": "owner"}, "must be one of admin, operator, viewer"),
    ],
)
def test_a_wrong_setting_stops_the_api(variables: dict[str, str], message: str) -> None:
    """A mistyped value must not open the API."""
    with pytest.raises(ConfigurationError, match=message):
        _authorizer(**variables)
