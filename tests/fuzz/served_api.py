"""An API that checks users, on a real port and a real database with two camera groups, and its callers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn

from cloud_functions.api.app import create_app
from cloud_functions.api.security.roles import ROLES
from cloud_functions.api.security.tokens import AccessTokens
from cloud_functions.db.connect import connect_to
from shared.clock import SystemClock
from tests.support.api_calls import FakeSnapshots, lambda_api
from tests.support.camera_groups import OWN, TwoGroups, fill_two_groups
from tests.support.users import add_user

ANONYMOUS: Final = "nobody"
_START_TIMEOUT_S: Final = 30.0


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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(create_app(dependencies=dependencies), log_level="warning", lifespan="off")
        )
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        _wait_for(server)
        try:
            yield ServedApi(f"http://127.0.0.1:{listener.getsockname()[1]}", objects, headers)
        finally:
            server.should_exit = True
            thread.join()
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


def _wait_for(server: uvicorn.Server) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while not server.started:
        if time.monotonic() > deadline_s:
            raise TimeoutError("the API did not start")
        time.sleep(0.02)
