"""The application on a database with two camera groups, its routes, and a caller of every kind.

Each transaction is rolled back, so that all requests find the same objects. Routes, permissions and roles come from the
tables of the program. For a new route that applies the limit to camera groups, add an object for a new placeholder
(``object_values``) and a body (``BODIES``).
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from cloud_functions.api.app import MOUNTS, create_app
from cloud_functions.api.backends.database import ApiDatabase
from cloud_functions.api.backends.thread_pool import InlineThreadPool
from cloud_functions.api.handler import ApiHandler
from cloud_functions.api.security.permissions import (
    PERMISSIONS,
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
from cloud_functions.plates.master_keys import WrappedKey
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from shared.clock import SystemClock
from tests.support.api_calls import PLACEHOLDERS, Answer, ApiCalls, FakeSnapshots, database_at, lambda_api
from tests.support.camera_groups import OWN, GroupedCamera, TwoGroups, fill_two_groups
from tests.support.users import add_key, add_user, bearer

Result = TypeVar("Result")
Body = Callable[[GroupedCamera], Any]
_ADDRESS: Final = "rtsp://new.example/stream"

BODIES: Final[dict[str, Body]] = {
    "create_camera": lambda side: {"name": "New", "rtsp_url": _ADDRESS, "group_id": side.group},
    "replace_camera": lambda side: {"name": "New", "rtsp_url": _ADDRESS, "group_id": side.group},
    "change_camera_state": lambda _: {"is_active": False},
    "import_cameras": lambda side: {
        "format": "csv",
        "data": b64encode(f"name,rtsp_url\nNew,{_ADDRESS}\n".encode()).decode(),
        "group_id": side.group,
    },
    "test_camera_connection": lambda _: {"wait": False},
    "capture_camera_snapshot": lambda _: {"timeout_seconds": 1},
    "capture_group_snapshots": lambda _: {"timeout_seconds": 1},
    "create_camera_group": lambda _: {"name": "New group"},
    "replace_camera_group": lambda _: {"name": "New name"},
    "delete_events": lambda side: {"camera_id": side.camera},
    "create_retention_policy": lambda side: {"camera_id": side.camera, "max_age_days": 30},
    "replace_retention_policy": lambda side: {"camera_id": side.camera, "max_age_days": 60},
    "place_legal_hold": lambda side: {"name": "case 7", "reason": "a court", "events": [str(side.event)]},
    "release_legal_hold": lambda _: {"reason": "closed"},
    "create_watchlist": lambda _: {"name": "new"},
    "change_watchlist": lambda _: {"name": "new"},
    "add_patterns": lambda _: {"patterns": [{"kind": "exact", "pattern": "AB12"}]},
    "create_webhook": lambda side: {"name": "new", "url": "https://new.example/", "groups": [side.group]},
    "replace_webhook": lambda side: {"name": "new", "url": "https://new.example/", "groups": [side.group]},
    "rotate_webhook_secret": lambda _: {"overlap_s": 60},
    "create_replay": lambda side: {
        "target": "webhook",
        "webhook": str(side.webhook),
        "start_time": "2026-11-20T00:00:00Z",
        "end_time": "2026-11-21T00:00:00Z",
    },
    "change_password": lambda _: {"current_password": "a wrong password", "new_password": "another long password"},
}
"""The body of each operation that has one, for an object of a group."""


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
    has_body: bool
    dependant: Dependant

    @property
    def placeholders(self) -> set[str]:
        return set(re.findall(r"{(\w+)}", self.path))

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


class PlainMasterKeys:
    """Master keys that wrap nothing."""

    def new_key(self, site_id: str) -> tuple[bytes, WrappedKey]:
        key = bytes(32)
        return key, self.wrap(key, site_id)

    def wrap(self, data_key: bytes, site_id: str) -> WrappedKey:
        return WrappedKey(data_key, f"plain:{site_id}")

    def unwrap(self, key: WrappedKey, site_id: str) -> bytes:
        assert key.wrapped_by == f"plain:{site_id}"
        return key.wrapped


class Matrix:
    """The application, its objects and its callers."""

    def __init__(self, url: str) -> None:
        self.objects: TwoGroups = fill_two_groups(url)
        tokens = AccessTokens(clock=SystemClock())
        self._callers = {caller.name: caller for caller in _callers(url, tokens)}
        database = RolledBackDatabase(url)
        handler, dependencies = lambda_api(
            url,
            tokens=tokens,
            snapshots=KeptSnapshots(dict(self.objects.images)),
            webhook_secrets=WebhookSecrets(master_keys=PlainMasterKeys()),
        )
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
        path = route.path.format_map(object_values(self.objects, side))
        body = None
        if route.has_body:
            body = json.dumps(BODIES[route.name](side) if route.name in BODIES else {})
        return self.send(caller, route.method, path, parameters, body)

    def send(
        self, caller: Caller, method: str, path: str, parameters: dict[str, Any], body: str | None = None
    ) -> Answer:
        """Send a request of the caller."""
        return self._calls.call(method, path, parameters, body=body, headers=caller.headers)

    def knows(self, route: Route) -> bool:
        """Return whether the objects of the route are in the database, and a body for it in ``BODIES``."""
        known = own_values(self.objects, self.objects.own)
        return route.placeholders <= known.keys() and (not route.has_body or route.name in BODIES)


def object_values(objects: TwoGroups, side: GroupedCamera) -> dict[str, str]:
    """Return the object of each placeholder, for one of the groups."""
    return PLACEHOLDERS | own_values(objects, side)


def own_values(objects: TwoGroups, side: GroupedCamera) -> dict[str, str]:
    """Return the placeholders whose objects are in the database."""
    return {
        "event": str(side.event),
        "event_id": side.event_id,
        "camera_id": side.camera,
        "camera": side.camera,
        "group": side.group,
        "text": side.plate,
        "watchlist": str(objects.watchlist),
        "policy": str(objects.policy),
        "hold": str(objects.hold),
        "pattern": str(objects.pattern),
        "command": str(side.command),
        "device_id": side.camera,
        "device": side.device,
        "snapshot_id": str(side.snapshot),
        "webhook": str(side.webhook),
        "delivery": str(side.webhook),
        "replay": str(side.webhook),
    }


def _routes(app: FastAPI) -> list[Route]:
    """Return all routes. One that is under several mounts is returned once."""
    routes: dict[tuple[str, str, str], Route] = {}
    for route in all_routes(app):
        routes.setdefault((route.method, path_without_mount(route.path), route.name), route)
    return list(routes.values())


def path_without_mount(path: str) -> str:
    """Return the path below its mount; the path itself at the root."""
    mount = next((mount for mount in sorted(MOUNTS, key=len, reverse=True) if path.startswith(f"{mount}/")), "")
    return path.removeprefix(mount)


def all_routes(app: FastAPI) -> Iterator[Route]:
    """Yield each method of each path, under all mounts."""
    operations = [operation for path in app.openapi()["paths"].values() for operation in path.values()]
    with_body = {operation["operationId"] for operation in operations if "requestBody" in operation}
    for context in iter_route_contexts(app.routes):
        if hasattr(context, "dependant"):
            name = str(context.name)
            for method in context.methods or ():
                status = context.status_code or 200
                yield Route(method, str(context.path), name, status, name in with_body, context.dependant)


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


def refusal(caller: Caller, route: Route) -> tuple[int, str] | None:
    """Return the response to a caller who may not use the route at all; None if the caller may."""
    if caller.name == "nobody":
        return 401, "not-authenticated"
    if route.permission not in caller.permissions:
        return 403, "forbidden"
    if caller.limited and route.permission not in WITHOUT_CAMERAS and not route.is_scoped:
        return 403, "limited-to-groups"
    return None
