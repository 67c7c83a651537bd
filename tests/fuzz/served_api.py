"""An API that checks users, on a real port and a real database with two camera groups, and its callers."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cloud_functions.api.app import create_app
from cloud_functions.api.security.roles import ROLES
from cloud_functions.api.security.tokens import AccessTokens
from cloud_functions.db.connect import connect_to
from shared.clock import SystemClock
from tests.support.api_calls import FakeSnapshots, lambda_api
from tests.support.camera_groups import OWN, TwoGroups, fill_two_groups
from tests.support.served_app import served_app
from tests.support.users import add_user

ANONYMOUS: Final = "nobody"


@dataclass(frozen=True, slots=True)
class ServedApi:
    """The address of the API, what is in its database, and a header for each caller."""

    url: str
    objects: TwoGroups
    headers: dict[str, dict[str, str]]
    """By the caller's name: a role, ``limited`` and a role, or ``nobody``."""


@contextmanager
def served_api(database_url: str) -> Generator[ServedApi]:
    """Yield an API on an empty database, which it fills."""
    objects = fill_two_groups(database_url)
    tokens = AccessTokens(clock=SystemClock())
    headers = _headers(database_url, tokens)
    handler, dependencies = lambda_api(database_url, tokens=tokens, snapshots=FakeSnapshots(dict(objects.images)))
    handler.close()
    try:
        with served_app(create_app(dependencies=dependencies), lifespan="off") as address:
            yield ServedApi(address, objects, headers)
    finally:
        dependencies.close()


def _headers(url: str, tokens: AccessTokens) -> dict[str, dict[str, str]]:
    headers: dict[str, dict[str, str]] = {ANONYMOUS: {}}
    for role in ROLES:
        for limit, groups in (("", None), ("limited ", [OWN])):
            name = f"{limit}{role}".replace(" ", "-")
            user_id = add_user(url, name, role=role, groups=groups)
            with connect_to(url, autocommit=False) as connection:
                token = tokens.issue(connection, user_id=user_id, username=name, role=role, groups=groups)
            headers[f"{limit}{role}"] = {"Authorization": f"Bearer {token}"}
    return headers
