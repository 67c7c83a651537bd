"""Every route, called by every kind of caller, for an object of the caller's own group and for a foreign one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from cloud_functions.api.security.permissions import PUBLIC_OPERATIONS, WITHOUT_CAMERAS
from tests.support.api_calls import Answer
from tests.support.backing_services import PostgresFixture
from tests.support.camera_groups import FOREIGN_MARKS, OWN, OWN_MARKS, GroupedCamera
from tests.support.permission_matrix import CALLERS, Caller, Matrix, Route, all_routes, path_without_mount, refusal

_OUTSIDE: Final = {"create_camera_group", "delete_camera_group"}
"""Operations whose result is outside of any limit, so that a limited caller can do them to no group."""
_ANSWERS: Final[dict[str, set[tuple[int, str]]]] = {
    "test_camera_connection": {(409, "device-offline")},
    "capture_snapshot": {(409, "device-offline")},
    "capture_camera_snapshot": {(409, "device-offline")},
    "change_password": {(401, "invalid-credentials"), (403, "not-a-user")},
}
"""Other responses than a success to a caller who has the permission."""
_REFUSALS: Final = {"not-authenticated", "invalid-token", "forbidden", "limited-to-groups", "outside-groups"}


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
            if complaint := _complaint(caller, route, side, answer, is_known=matrix.knows(route)):
                wrong.append(f"{route.method} {route.path} of {side.group}: {complaint}; {answer}")
    assert wrong == []


def _complaint(caller: Caller, route: Route, side: GroupedCamera, answer: Answer, *, is_known: bool) -> str | None:
    """Return what is wrong with the response, or None."""
    got = (answer.status, "" if answer.status < 400 else answer.error().code)
    refused = refusal(caller, route)
    if refused is not None:
        return None if got == refused else f"must be {refused}"
    if caller.limited and route.is_scoped:
        if caller.name == "key without groups":
            return _leak(answer, got, (*FOREIGN_MARKS, *OWN_MARKS))
        if side.group != OWN:
            return _leak(answer, got, FOREIGN_MARKS)
        if route.name in _OUTSIDE:
            return None if got == (403, "outside-groups") else "must be 403 outside-groups"
        if any(mark in _text(answer) for mark in FOREIGN_MARKS):
            return "shows a foreign object"
    if answer.status == route.status or (not is_known and answer.status < 500 and got[1] not in _REFUSALS):
        return None
    return None if got in _ANSWERS.get(route.name, ()) else "must succeed"


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


def test_every_route_that_applies_the_limit_has_its_objects_and_its_body(matrix: Matrix) -> None:
    """A new route with a new placeholder or a body is not left out of the matrix."""
    assert [route.path for route in matrix.routes if route.is_scoped and not matrix.knows(route)] == []


def test_no_route_is_open_to_a_limited_caller_without_applying_the_limit(matrix: Matrix) -> None:
    """A route is public, or concerns no camera, or applies the limit, or is closed to limited callers."""
    caller = matrix.caller("limited key")
    closed = [route for route in matrix.routes if not route.is_scoped and route.permission not in WITHOUT_CAMERAS]
    assert {"create_watchlist", "delete_watchlist", "add_patterns"} <= {route.name for route in closed}
    for route in closed:
        assert matrix.call(caller, route, matrix.objects.own).error().code == "limited-to-groups", route.path
    documented = matrix.app.openapi()["paths"]  # test_permissions has the list of the other public paths
    assert {route.name for route in matrix.public if route.path in documented} == PUBLIC_OPERATIONS


def test_a_route_is_the_same_under_both_mounts(matrix: Matrix) -> None:
    """The matrix calls one of them."""
    found: dict[tuple[str, str, str], set[tuple[str | None, bool]]] = {}
    for route in all_routes(matrix.app):
        name = (route.method, path_without_mount(route.path), route.name)
        found.setdefault(name, set()).add((route.permission, route.is_scoped))
    assert [name for name, protections in found.items() if len(protections) > 1] == []


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
