"""Users and API keys in a database, and an API that checks them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from cloud_functions.api.security.api_keys import new_api_key
from cloud_functions.api.security.passwords import hash_password
from cloud_functions.api.security.tokens import AccessTokens
from cloud_functions.db.connect import connect_to
from cloud_functions.db.users.accounts import NewUser, create_user
from cloud_functions.db.users.api_keys import ApiKeyRow, create_api_key
from cloud_functions.plates.master_keys import MasterKeys
from infra.local.stack import Stack
from shared.clock import Clock, SystemClock
from tests.support.api_calls import ApiCalls, lambda_api

PASSWORD = "a long password"
PASSWORD_HASH = hash_password(PASSWORD)


def add_user(url: str, username: str = "ana", **fields: Any) -> UUID:
    """Create a user with ``PASSWORD`` and return its id; a viewer unless ``role`` is given."""
    user_id = uuid4()
    with connect_to(url) as connection:
        defaults = {"role": "viewer", "password_hash": PASSWORD_HASH}
        create_user(connection, NewUser(id=user_id, username=username, **(defaults | fields)))
    return user_id


def add_key(
    url: str, *scopes: str, name: str = "robot", groups: Sequence[str] | None = None, days: float | None = None
) -> str:
    """Create an API key and return its text."""
    key = new_api_key()
    with connect_to(url) as connection:
        new = ApiKeyRow(
            id=uuid4(),
            prefix=key.prefix,
            key_hash=key.key_hash,
            name=name,
            scopes=scopes,
            groups=groups,
            lifetime=None if days is None else timedelta(days=days),
        )
        create_api_key(connection, new)
    return key.text


@contextmanager
def users_api(
    url: str, *, clock: Clock | None = None, master_keys: MasterKeys | None = None, **collaborators: Any
) -> Generator[ApiCalls]:
    """Yield a client of an API that checks users and API keys. ``collaborators`` are those of ``lambda_api``."""
    clock = clock or SystemClock()
    tokens = AccessTokens(clock=clock, master_keys=master_keys)
    handler, dependencies = lambda_api(url, tokens=tokens, clock=clock, **collaborators)
    try:
        yield ApiCalls(handler)
    finally:
        handler.close()
        dependencies.close()


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries an access token or an API key."""
    return {"authorization": f"Bearer {token}"}


def log_in(api_url: str, username: str, password: str) -> dict[str, str]:
    """Log in to a running API and return the header that carries the access token."""
    answer = httpx.post(f"{api_url}/api/auth/login-json", json={"username": username, "password": password}, timeout=30)
    assert answer.status_code == 200, answer.text
    return bearer(answer.json()["access_token"])


def stack_admin(stack: Stack) -> dict[str, str]:
    """Return the header of the admin whom the first start of a one-machine stack created."""
    assert stack.first_admin is not None
    return log_in(stack.urls["api"], stack.first_admin.username, stack.first_admin.password)
