"""Administration of users and API keys through the API, on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from cloud_functions.api.users.admin_responses import (
    CreatedKeyEnvelope,
    CreatedUserEnvelope,
    KeyListEnvelope,
    ResetEnvelope,
    UserEnvelope,
    UserListEnvelope,
)
from tests.support.api_calls import Answer, ApiCalls
from tests.support.users import PASSWORD, add_key, add_user, bearer, users_api

USERS, KEYS = "/api/v1/users", "/api/v1/api-keys"
LOGIN = "/api/auth/login-json"
NEW_PASSWORD = "another password"
Send = Callable[..., Answer]


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    with users_api(database_url) as calls:
        yield calls


@pytest.fixture
def admin(api: ApiCalls, database_url: str) -> Send:
    """Return a function that sends a request as the admin ``root``."""
    add_user(database_url, "root", role="admin")
    return _as(api, _log_in(api, "root").json()["access_token"])


def _as(api: ApiCalls, credential: str) -> Send:
    def send(method: str, path: str, body: Any = None, **parameters: Any) -> Answer:
        text = None if body is None else json.dumps(body)
        return api.call(method, path, parameters, body=text, headers=bearer(credential))

    return send


def _log_in(api: ApiCalls, username: str, password: str = PASSWORD) -> Answer:
    return api.post(LOGIN, {"username": username, "password": password})


def _code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.error().code


def test_the_life_of_a_user(api: ApiCalls, admin: Send) -> None:
    """Created, read by name and id, changed, replaced and deleted; each response has the documented shape."""
    body = {"username": "Ana", "email": "ana@example.org", "role": "viewer", "password": PASSWORD}
    created = admin("POST", USERS, body)
    assert created.status == 201
    CreatedUserEnvelope.model_validate(created.json(), strict=True)
    assert created.json()["data"]["reset_token"] is None
    assert PASSWORD.encode() not in created.body
    user_id = created.json()["data"]["id"]
    assert _log_in(api, "ana").status == 200
    for ref in ("ana", user_id):
        got = admin("GET", f"{USERS}/{ref}")
        UserEnvelope.model_validate(got.json(), strict=True)
        assert (got.json()["data"]["username"], got.headers["cache-control"]) == ("Ana", "no-store")
    changed = admin("PATCH", f"{USERS}/ana", {"role": "operator"}).json()["data"]
    assert (changed["role"], changed["email"]) == ("operator", "ana@example.org")
    edited = changed | {"role": "viewer", "email": None}
    assert admin("PUT", f"{USERS}/ana", edited).json()["data"]["email"] is None
    assert admin("DELETE", f"{USERS}/ana").status == 200
    assert _code(admin("GET", f"{USERS}/{user_id}")) == (404, "user-not-found")
    assert _log_in(api, "ana").status == 401


def test_users_are_listed_with_conditions(admin: Send, database_url: str) -> None:
    """By a part of name or email, role and state, in pages."""
    add_user(database_url, "ana", email="someone@example.org")
    add_user(database_url, "ben", role="operator")
    admin("PATCH", f"{USERS}/ben", {"is_active": False})

    def names(**parameters: Any) -> list[str]:
        page = admin("GET", USERS, **parameters).json()
        UserListEnvelope.model_validate(page, strict=True)
        return [user["username"] for user in page["data"]]

    assert names() == ["ana", "ben", "root"]
    assert names(search="EXAMPLE") == ["ana"]
    assert names(search="%") == []
    assert names(role="operator") == ["ben"]
    assert names(is_active="true") == ["ana", "root"]
    page = admin("GET", USERS, page=2, page_size=2).json()
    assert page["meta"] == {"page": 2, "pageSize": 2, "total": 3, "totalPages": 2}
    assert [user["username"] for user in page["data"]] == ["root"]


def test_a_change_ends_the_sessions(api: ApiCalls, admin: Send, database_url: str) -> None:
    """Another role, and a user that is disabled: the refresh token does not work any more."""
    add_user(database_url)
    for change in ({"role": "operator"}, {"is_active": False}):
        token = _log_in(api, "ana").json()["refresh_token"]
        assert admin("PATCH", f"{USERS}/ana", change).status == 200
        assert api.post("/api/auth/refresh", {"refresh_token": token}).status == 401


def test_a_user_chooses_a_password_with_the_reset_token(api: ApiCalls, admin: Send, database_url: str) -> None:
    """Once. The old password is invalid at once, and a user can be created in the same way."""
    add_user(database_url)
    session = _log_in(api, "ana").json()
    answer = admin("POST", f"{USERS}/ana/reset-password")
    ResetEnvelope.model_validate(answer.json(), strict=True)
    assert _log_in(api, "ana").status == 401
    assert api.post("/api/auth/refresh", {"refresh_token": session["refresh_token"]}).status == 401
    invited = admin("POST", USERS, {"username": "ben", "role": "viewer"}).json()["data"]["reset_token"]
    for name, token in (("ana", answer.json()["data"]["reset_token"]), ("ben", invited)):
        body = {"reset_token": token, "new_password": NEW_PASSWORD}
        assert api.post("/api/auth/reset-password", body).status == 200
        assert _log_in(api, name, NEW_PASSWORD).status == 200
        assert _code(api.post("/api/auth/reset-password", body)) == (401, "invalid-reset-token")


def test_a_reset_token_expires_and_is_replaced(api: ApiCalls, admin: Send, database_url: str) -> None:
    """A newer token, another password and a day make it invalid. No secret is stored as it is."""
    add_user(database_url)
    first, second = (admin("POST", f"{USERS}/ana/reset-password").json()["data"]["reset_token"] for _ in range(2))

    def use(token: str) -> int:
        return api.post("/api/auth/reset-password", {"reset_token": token, "new_password": NEW_PASSWORD}).status

    assert use(first) == 401
    with psycopg.connect(database_url, autocommit=True) as connection:
        [(stored,)] = connection.execute("SELECT token_hash FROM password_resets").fetchall()
        assert second.encode() not in stored
        connection.execute("UPDATE password_resets SET expires_at = now()")
    assert use(second) == 401


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("PATCH", {"is_active": False}),
        ("PATCH", {"role": "operator"}),
        ("PATCH", {"groups": ["north"]}),
        ("PUT", {"role": "viewer"}),
        ("DELETE", None),
    ],
)
def test_the_last_admin_stays(api: ApiCalls, admin: Send, database_url: str, method: str, body: Any) -> None:
    """Nobody can lock everybody out; with a second admin, the same change is accepted."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO camera_groups (id, slug, name) VALUES (gen_random_uuid(), 'north', 'North')")
    assert _code(admin(method, f"{USERS}/root", body)) == (409, "last-admin")
    assert _log_in(api, "root").status == 200
    add_user(database_url, "second", role="admin")
    assert admin(method, f"{USERS}/root", body).status == 200


def test_nobody_grants_more_than_they_have(api: ApiCalls, admin: Send, database_url: str) -> None:
    """A key that may manage users cannot make an admin, become one through a reset, or make a stronger key."""
    add_user(database_url)
    weak = _as(api, add_key(database_url, "users:read", "users:write", "events:read"))
    refused = (
        weak("POST", USERS, {"username": "eve", "role": "admin"}),
        weak("PATCH", f"{USERS}/ana", {"role": "admin"}),
        weak("POST", f"{USERS}/root/reset-password"),
        weak("DELETE", f"{USERS}/root"),
        weak("POST", KEYS, {"name": "strong", "scopes": ["*"]}),
        weak("POST", KEYS, {"name": "strong", "scopes": ["events:delete"]}),
    )
    assert {_code(answer) for answer in refused} == {(403, "exceeds-own-permissions")}
    assert weak("POST", KEYS, {"name": "reader", "scopes": ["events:read"]}).status == 201
    strong = admin("POST", KEYS, {"name": "strong", "scopes": ["*"]}).json()["data"]
    assert _code(weak("DELETE", f"{KEYS}/{strong['id']}")) == (403, "exceeds-own-permissions")


def test_the_life_of_an_api_key(api: ApiCalls, admin: Send) -> None:
    """Shown once, listed without its text, and revoked at once."""
    created = admin("POST", KEYS, {"name": "reports", "scopes": ["events:read"], "expires_in_days": 30})
    assert created.status == 201
    CreatedKeyEnvelope.model_validate(created.json(), strict=True)
    data = created.json()["data"]
    key = _as(api, data["key"])
    assert key("GET", "/api/events").status == 200
    assert _code(key("GET", USERS)) == (403, "forbidden")
    listed = admin("GET", KEYS, search="REP")
    KeyListEnvelope.model_validate(listed.json(), strict=True)
    assert [one["prefix"] for one in listed.json()["data"]] == [data["prefix"]]
    assert data["key"].encode() not in listed.body
    assert _code(admin("POST", KEYS, {"name": "Reports", "scopes": ["events:read"]})) == (409, "name-taken")
    assert admin("DELETE", f"{KEYS}/{data['id']}").status == 200
    assert key("GET", "/api/events").status == 401
    assert admin("GET", KEYS).json()["data"][0]["revoked_at"] is not None
    assert _code(admin("DELETE", f"{KEYS}/0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11")) == (404, "key-not-found")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", USERS, {"username": "a@b", "role": "viewer"}),
        ("POST", USERS, {"username": "ana", "role": "owner"}),
        ("POST", USERS, {"username": "ana", "role": "viewer", "password": "short"}),
        ("POST", USERS, {"username": "ana", "role": "viewer", "email": "x"}),
        ("POST", USERS, {"username": "ana", "role": "viewer", "groups": []}),
        ("POST", USERS, {"username": "ana", "role": "viewer", "groups": ["nowhere"]}),
        ("PATCH", f"{USERS}/root", {"role": None}),
        ("PATCH", f"{USERS}/root", {"password": PASSWORD}),
        ("PUT", f"{USERS}/root", {"role": "admin", "username": "other"}),
        ("POST", KEYS, {"name": "k", "scopes": []}),
        ("POST", KEYS, {"name": "k", "scopes": ["events:everything"]}),
        ("POST", KEYS, {"name": "k", "scopes": ["*"], "expires_in_days": 0}),
    ],
)
def test_an_invalid_request_changes_nothing(admin: Send, method: str, path: str, body: dict[str, Any]) -> None:
    """422 without what was sent."""
    answer = admin(method, path, body)
    assert _code(answer) == (422, "invalid-parameter")
    assert PASSWORD.encode() not in answer.body
    assert [user["role"] for user in admin("GET", USERS).json()["data"]] == ["admin"]


def test_names_and_emails_are_unique(admin: Send, database_url: str) -> None:
    """In any case of their letters."""
    add_user(database_url, "ana", email="ana@example.org")
    assert _code(admin("POST", USERS, {"username": "ANA", "role": "viewer"})) == (409, "name-taken")
    assert _code(admin("PATCH", f"{USERS}/root", {"email": "Ana@example.org"})) == (409, "name-taken")


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_admins_manage_users(api: ApiCalls, database_url: str, role: str) -> None:
    """Neither reading nor writing."""
    add_user(database_url, role=role)
    send = _as(api, _log_in(api, "ana").json()["access_token"])
    for method, path, body in (("GET", USERS, None), ("GET", KEYS, None), ("DELETE", f"{USERS}/ana", None)):
        assert _code(send(method, path, body)) == (403, "forbidden")
