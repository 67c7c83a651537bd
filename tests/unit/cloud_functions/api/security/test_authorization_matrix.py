"""Every route, called by every kind of caller, for an object of the caller's own group and for a foreign one.

Routes, permissions and callers come from the tables of the program; the only thing to add for a new route is an object
for a new placeholder (``_values``) and a body (``_BODIES``). The requests run on a real database, and each of their
transactions is rolled back, so that all of them find the same objects.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from cloud_functions.api.app import MOUNTS, create_app
from cloud_functions.api.backends.database import ApiDatabase
from cloud_functions.api.backends.thread_pool import InlineThreadPool
from cloud_functions.api.handler import ApiHandler
from cloud_functions.api.security.permissions import (
    PERMISSIONS,
    PUBLIC_OPERATIONS,
    WITHOUT_CAMERAS,
    Permission,
    applies_scope,
    required_permission,
)
from cloud_functions.api.security.roles import ROLES
from cloud_functions.api.security.tokens import AccessTokens
from cloud_functions.api.security.user_authorizer import UserAuthorizer
from cloud_functions.db.connect import connect_to
from cloud_functions.db.types import Connection
from shared.clock import SystemClock
from tests.support.api_calls import Answer, ApiCalls, FakeSnapshots, database_at, lambda_api
from tests.support.backing_services import PostgresFixture
from tests.support.camera_groups import FOREIGN_MARKS, OWN, OWN_MARKS, GroupedCamera, TwoGroups, fill_two_groups
from tests.support.users import add_key, add_user, bearer

Result = TypeVar("Result")
Body = Callable[[GroupedCamera], Any]
ADDRESS: Final = "rtsp://new.example/stream"
UNDOCUMENTED: Final = {"/", "/health", "/docs", "/redoc", "/docs-assets/{name}", "/openapi.json"}

_BODIES: Final[dict[str, Body]] = {
    "create_camera": lambda side: {"name": "New", "rtsp_url": ADDRESS, "group_id": side.group},
    "replace_camera": lambda side: {"name": "New", "rtsp_url": ADDRESS, "group_id": side.group},
    "change_camera_state": lambda _: {"is_active": False},
    "import_cameras": lambda side: {
        "format": "csv",
        "data": b64encode(f"name,rtsp_url\nNew,{ADDRESS}\n".encode()).decode(),
        "group_id": side.group,
    },
    "test_camera_connection": lambda _: {"wait": False},
    "capture_camera_snapshot": lambda _: {"timeout_seconds": 1},
    "capture_group_snapshots": lambda _: {"timeout_seconds": 1},
    "create_camera_group": lambda _: {"name": "New group"},
    "replace_camera_group": lambda _: {"name": "New name"},
    "delete_events": lambda side: {"camera_id": side.camera},
    "create_watchlist": lambda _: {"name": "new"},
    "change_watchlist": lambda _: {"name": "new"},
    "add_patterns": lambda _: {"patterns": [{"kind": "exact", "pattern": "AB12"}]},
    "change_password": lambda _: {"current_password": "a wrong password", "new_password": "another long password"},
}
"""The body of each operation that has one, for an object of a group."""
_OUTSIDE: Final = {"create_camera_group", "delete_camera_group"}
"""Operations whose result is outside of any limit, so that a limited caller can do them to no group."""
_ANSWERS: Final[dict[str, set[tuple[int, str]]]] = {
    "test_camera_connection": {(409, "device-offline")},
    "capture_snapshot": {(409, "device-offline")},
    "capture_camera_snapshot": {(409, "device-offline")},
    "change_password": {(401, "invalid-credentials"), (403, "not-a-user")},
}
"""Other responses than a success to a caller who has the permission."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One kind of caller."""

    name: str
    permissions: frozenset[Permission]
    limited: bool
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of a path."""

    method: str
    path: str
    name: str
    status: int
    """Of a success."""
    dependant: Dependant

    @property
    def permission(self) -> Permission | None:
        return required_permission(self.dependant)

    @property
    def is_scoped(self) -> bool:
        return applies_scope(self.dependant)


class RolledBackDatabase(ApiDatabase):
    """Runs each query in a transaction that is rolled back."""

    def __init__(self, url: str) -> None:
        super().__init__(make_database=lambda: database_at(url), thread_pool=InlineThreadPool())

    async def run(self, query: Callable[[Connection], Result]) -> Result:
        def rolled_back(connection: Connection) -> Result:
            with connection.transaction(force_rollback=True):
                return query(connection)

        return await super().run(rolled_back)


class KeptSnapshots(FakeSnapshots):
    """A bucket from which nothing is deleted, as from the database."""

    def delete(self, keys: Sequence[str]) -> None:
        pass


class Matrix:
    """The application, its objects and its callers."""

    def __init__(self, url: str) -> None:
        self.objects: TwoGroups = fill_two_groups(url)
        tokens = AccessTokens(clock=SystemClock())
        self._callers = {caller.name: caller for caller in _callers(url, tokens)}
        database = RolledBackDatabase(url)
        handler, dependencies = lambda_api(url, tokens=tokens, snapshots=KeptSnapshots(dict(self.objects.images)))
        handler.close()
        self.dependencies = replace(
            dependencies, database=database, authorizer=UserAuthorizer(database=database, tokens=tokens)
        )
        app = create_app(dependencies=self.dependencies)
        self.app = app
        self.public, self.routes = [], []
        for route in _routes(app):
            (self.public if route.permission is None else self.routes).append(route)
        self._handler = ApiHandler(make_app=lambda: app)
        self._calls = ApiCalls(self._handler)

    def close(self) -> None:
        self._handler.close()

    def caller(self, name: str) -> Caller:
        return self._callers[name]

    def call(self, caller: Caller, route: Route, side: GroupedCamera, **parameters: Any) -> Answer:
        """Send the request of the route for the objects of one group."""
        path = route.path.format_map(_values(self.objects, side))
        body = None
        if route.name in _BODIES:
            body = json.dumps(_BODIES[route.name](side))
        return self._calls.call(route.method, path, parameters, body=body, headers=caller.headers)


def _values(objects: TwoGroups, side: GroupedCamera) -> dict[str, str]:
    """Return the object of each placeholder, for one of the groups."""
    return {
        "event": str(side.event),
        "event_id": side.event_id,
        "camera_id": side.camera,
        "camera": side.camera,
        "device_id": side.camera,
        "snapshot_id": str(side.snapshot),
        "group": side.group,
        "text": side.plate,
        "watchlist": str(objects.watchlist),
        "pattern": str(objects.pattern),
        "command": str(side.command),
    }


def _routes(app: FastAPI) -> list[Route]:
    """Return all routes, under the first of the mounts and at the root path."""
    return [route for route in _all_routes(app) if not route.path.startswith(f"{MOUNTS[1]}/")]


def _all_routes(app: FastAPI) -> Iterator[Route]:
    for context in iter_route_contexts(app.routes):
        if hasattr(context, "dependant"):
            for method in context.methods or ():
                yield Route(method, str(context.path), str(context.name), context.status_code or 200, context.dependant)


def _callers(url: str, tokens: AccessTokens) -> Iterator[Caller]:
    yield Caller("nobody", frozenset(), False, {})
    for role, permissions in ROLES.items():
        for limited in (False, True):
            name, groups = f"limited {role}" if limited else role, [OWN] if limited else None
            user_id = add_user(url, name.replace(" ", "-"), role=role, groups=groups)
            with connect_to(url, autocommit=False) as connection:
                token = tokens.issue(connection, user_id=user_id, username=name, role=role, groups=groups)
            yield Caller(name, permissions, limited, bearer(token))
    for permission in PERMISSIONS:
        key = add_key(url, permission, name=permission)
        yield Caller(f"key {permission}", frozenset({permission}), False, {"x-api-key": key})
    key = add_key(url, "*", name="limited", groups=[OWN])
    yield Caller("limited key", frozenset(PERMISSIONS), True, {"x-api-key": key})
    key = add_key(url, "*", name="without groups", groups=[])
    yield Caller("key without groups", frozenset(PERMISSIONS), True, {"x-api-key": key})


CALLERS: Final = [
    "nobody",
    *(f"{limit}{role}" for role in ROLES for limit in ("", "limited ")),
    *(f"key {permission}" for permission in PERMISSIONS),
    "limited key",
    "key without groups",
]


@pytest.fixture(scope="module")
def matrix(postgres: PostgresFixture) -> Iterator[Matrix]:
    """An application on a database with two groups, and credentials of every kind."""
    postgres.start()
    name = postgres.new_database()
    made = Matrix(postgres.server.url_of(name))
    yield made
    made.close()
    postgres.server.drop_database(name)


@pytest.mark.xdist_group("authorization_matrix")
@pytest.mark.parametrize("name", CALLERS)
def test_no_caller_gets_more_or_less_than_the_tables_grant(matrix: Matrix, name: str) -> None:
    """The response to each route is the one that role, scopes and groups of the caller entail."""
    caller = matrix.caller(name)
    wrong: list[str] = []
    for route in matrix.routes:
        for side in (matrix.objects.own, matrix.objects.foreign):
            answer = matrix.call(caller, route, side)
            if complaint := _complaint(caller, route, side, answer):
                wrong.append(f"{route.method} {route.path} of {side.group}: {complaint}; {answer}")
    assert wrong == []


def _complaint(caller: Caller, route: Route, side: GroupedCamera, answer: Answer) -> str | None:
    """Return what is wrong with the response, or None."""
    got = (answer.status, "" if answer.status < 400 else answer.error().code)
    refusal = _refusal(caller, route)
    if refusal is not None:
        return None if got == refusal else f"must be {refusal}"
    if caller.limited and route.is_scoped:
        if caller.name == "key without groups":
            return _leak(answer, got, (*FOREIGN_MARKS, *OWN_MARKS))
        if side.group != OWN:
            return _leak(answer, got, FOREIGN_MARKS)
        if route.name in _OUTSIDE:
            return None if got == (403, "outside-groups") else "must be 403 outside-groups"
        if any(mark in _text(answer) for mark in FOREIGN_MARKS):
            return "shows a foreign object"
    if answer.status == route.status:
        return None
    return None if got in _ANSWERS.get(route.name, ()) else "must succeed"


def _refusal(caller: Caller, route: Route) -> tuple[int, str] | None:
    """Return the response to a caller who may not use the route at all; None if the caller may."""
    if caller.name == "nobody":
        return 401, "not-authenticated"
    if route.permission not in caller.permissions:
        return 403, "forbidden"
    if caller.limited and route.permission not in WITHOUT_CAMERAS and not route.is_scoped:
        return 403, "limited-to-groups"
    return None


def _leak(answer: Answer, got: tuple[int, str], marks: tuple[str, ...]) -> str | None:
    """Return what is wrong with the response for objects that the caller must not see."""
    if answer.status == 404 or got == (403, "outside-groups"):
        return None
    if not 200 <= answer.status < 300:
        return "must be 404, 403 outside-groups or an empty list"
    shown = [mark for mark in marks if mark in _text(answer)]
    return f"shows {shown}" if shown else None


def _text(answer: Answer) -> str:
    return answer.body.decode("utf-8", "replace").lower()


def test_the_callers_are_all_of_the_tables(matrix: Matrix) -> None:
    """A new role or permission becomes a caller without a change here."""
    assert {matrix.caller(name).name for name in CALLERS} == set(CALLERS)


def test_every_route_has_its_objects_and_its_body(matrix: Matrix) -> None:
    """A new route with a new placeholder or a body is not left out of the matrix."""
    for route in matrix.routes:
        route.path.format_map(_values(matrix.objects, matrix.objects.own))
    operations = [operation for path in matrix.app.openapi()["paths"].values() for operation in path.values()]
    with_body = {operation["operationId"] for operation in operations if "requestBody" in operation}
    assert with_body - PUBLIC_OPERATIONS == set(_BODIES)


def test_no_route_is_open_to_a_limited_caller_without_applying_the_limit(matrix: Matrix) -> None:
    """A route is public, or concerns no camera, or applies the limit, or is closed to limited callers."""
    caller = matrix.caller("limited key")
    closed = [route for route in matrix.routes if not route.is_scoped and route.permission not in WITHOUT_CAMERAS]
    assert {"create_watchlist", "delete_watchlist", "add_patterns"} <= {route.name for route in closed}
    for route in closed:
        assert matrix.call(caller, route, matrix.objects.own).error().code == "limited-to-groups", route.path
    assert {route.name for route in matrix.public if route.path not in UNDOCUMENTED} == PUBLIC_OPERATIONS


def test_both_mounts_have_the_same_routes(matrix: Matrix) -> None:
    """The matrix calls one of them."""
    found: dict[str, set[tuple[Any, ...]]] = {mount: set() for mount in MOUNTS}
    for route in _all_routes(matrix.app):
        for mount in sorted(MOUNTS, key=len, reverse=True):
            if route.path.startswith(f"{mount}/"):
                found[mount].add((route.path.removeprefix(mount), route.method, route.permission, route.is_scoped))
                break
    assert found[MOUNTS[0]] == found[MOUNTS[1]]


def test_passwords_of_cameras_need_their_own_permission(matrix: Matrix) -> None:
    """With ``include_credentials`` a role without ``export:credentials`` is rejected; a limited admin gets its own."""
    [route] = [route for route in matrix.routes if route.name == "export_cameras"]
    for name in ("viewer", "operator", "limited operator"):
        answer = matrix.call(matrix.caller(name), route, matrix.objects.own, include_credentials="true")
        assert (answer.status, answer.error().code) == (403, "forbidden")
    answer = matrix.call(matrix.caller("limited admin"), route, matrix.objects.own, include_credentials="true")
    assert answer.status == 200
    assert "north-camera" in _text(answer)
    assert not [mark for mark in FOREIGN_MARKS if mark in _text(answer)]
