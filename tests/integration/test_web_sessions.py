"""Sessions of the dashboard: the cookie, and which requests may use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http.cookies import SimpleCookie
from typing import Any, LiteralString

import psycopg
import pytest

from cloud_functions.api.users.responses import SessionResponse
from tests.support.api_calls import Answer, ApiCalls, lambda_api
from tests.support.users import PASSWORD, add_user, users_api

SESSION = "/api/v1/session"
OWN_PAGE = {"sec-fetch-site": "same-origin"}
PLAIN = {"x-forwarded-proto": "http", "host": "127.0.0.1:8069"}
REMOTE = {"x-forwarded-proto": "http", "host": "192.168.1.5:8069"}


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    add_user(database_url, role="operator")
    with users_api(database_url) as calls:
        yield calls


def _log_in(api: ApiCalls, headers: Mapping[str, str] = OWN_PAGE, password: str = PASSWORD) -> Answer:
    body = f'{{"username": "ana", "password": "{password}"}}'
    return api.call("POST", SESSION, body=body, headers=headers)


def _cookie(answer: Answer) -> Any:
    [cookie] = SimpleCookie(answer.set_cookie).values()
    return cookie


def _with(answer: Answer, **headers: str) -> dict[str, str]:
    cookie = _cookie(answer)
    return {
        "cookie": f"{cookie.key}={cookie.value}",
        **OWN_PAGE,
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }


def _code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.error().code


def test_a_session_is_a_cookie_that_scripts_cannot_read(api: ApiCalls) -> None:
    """Over https: ``__Host-``, Secure, HttpOnly, SameSite=Strict, all paths, no domain; no token in the body."""
    answer = _log_in(api)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    SessionResponse.model_validate(answer.json(), strict=True)
    assert (answer.json()["name"], answer.json()["role"]) == ("ana", "operator")
    cookie = _cookie(answer)
    assert cookie.key == "__Host-vedette"
    assert (cookie["path"], cookie["domain"], cookie["samesite"]) == ("/", "", "strict")
    assert (cookie["secure"], cookie["httponly"]) == (True, True)
    assert int(cookie["max-age"]) == 7 * 86_400
    assert cookie.value.encode() not in answer.body


def test_the_cookie_gives_access(api: ApiCalls) -> None:
    """To reads and to writes, with the permissions of the user's role."""
    session = _with(_log_in(api))
    assert api.call("GET", "/api/events", headers=session).status == 200
    assert api.call("GET", "/api/auth/me", headers=session).json()["name"] == "ana"
    assert api.call("DELETE", "/api/events/1", headers=session).status == 404
    assert _code(api.call("GET", "/api/cameras/export", {"include_credentials": "true"}, headers=session)) == (
        403,
        "forbidden",
    )


@pytest.mark.parametrize(
    ("method", "headers", "counts"),
    [
        ("GET", {"sec-fetch-site": "same-origin"}, True),
        ("GET", {"sec-fetch-site": "none"}, True),
        ("GET", {"sec-fetch-site": "same-site"}, False),
        ("GET", {"sec-fetch-site": "cross-site"}, False),
        ("GET", {}, True),
        ("GET", {"origin": "https://evil.example"}, False),
        ("DELETE", {"sec-fetch-site": "same-origin"}, True),
        ("DELETE", {"sec-fetch-site": "none"}, False),
        ("DELETE", {"sec-fetch-site": "cross-site"}, False),
        ("DELETE", {}, False),
        ("DELETE", {"origin": "https://api.example.test"}, True),
        ("DELETE", {"origin": "http://api.example.test"}, False),
        ("DELETE", {"origin": "https://evil.example"}, False),
        ("DELETE", {"origin": "null"}, False),
    ],
)
def test_the_cookie_counts_only_on_pages_of_this_api(
    api: ApiCalls, method: str, headers: dict[str, str], counts: bool
) -> None:
    """A request from another site is one without credentials; a write must say where it comes from."""
    cookie = _with(_log_in(api))["cookie"]
    answer = api.call(method, "/api/events/1", headers={"cookie": cookie, "host": "api.example.test", **headers})
    assert answer.status == (404 if counts else 401)


def test_other_sites_cannot_log_in_or_out(api: ApiCalls) -> None:
    """Both need a page of this API; programs are referred to the other log-in."""
    for headers in ({}, {"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        assert _code(_log_in(api, headers)) == (403, "foreign-origin")
        assert _code(api.call("DELETE", SESSION, headers=headers)) == (403, "foreign-origin")


def test_a_log_out_ends_the_session(api: ApiCalls) -> None:
    """The cookie is deleted, and a copy of it is worth nothing."""
    session = _with(_log_in(api))
    answer = api.call("DELETE", SESSION, headers=session)
    assert answer.status == 200
    assert int(_cookie(answer)["max-age"]) == 0
    assert _code(api.call("GET", "/api/events", headers=session)) == (401, "invalid-token")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET is_active = false",
        "UPDATE refresh_tokens SET revoked_at = now()",
        "UPDATE refresh_tokens SET expires_at = now()",
        "DELETE FROM users",
    ],
)
def test_a_session_ends_with_its_user_or_its_time(api: ApiCalls, database_url: str, change: LiteralString) -> None:
    """At once, and the page forgets the cookie when it asks who is there."""
    session = _with(_log_in(api))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(change)
    assert _code(api.call("GET", "/api/events", headers=session)) == (401, "invalid-token")
    answer = api.call("GET", SESSION, headers=session)
    assert (answer.status, answer.json()["kind"], answer.json()["permissions"]) == (200, "anonymous", [])
    assert int(_cookie(answer)["max-age"]) == 0


def test_a_change_of_the_role_or_the_password_takes_effect_at_once(api: ApiCalls, database_url: str) -> None:
    """The role is read for each request; a new password ends all sessions."""
    session = _with(_log_in(api))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE users SET role = 'viewer'")
    assert _code(api.call("DELETE", "/api/events/1", headers=session)) == (403, "forbidden")
    body = f'{{"current_password": "{PASSWORD}", "new_password": "another long password"}}'
    assert api.call("PUT", "/api/auth/password", body=body, headers=session).status == 200
    assert _code(api.call("GET", "/api/events", headers=session)) == (401, "invalid-token")


def test_a_session_is_no_refresh_token_and_the_other_way_round(api: ApiCalls) -> None:
    """Neither is accepted in the place of the other."""
    answer = _log_in(api)
    token = _cookie(answer).value
    for text in (token, f"session {token}", f"\u00ffsession {token}"):
        assert _code(api.post("/api/auth/refresh", {"refresh_token": text})) == (401, "invalid-refresh-token")
    login = api.post("/api/auth/login-json", {"username": "ana", "password": PASSWORD}).json()
    cookie = {**OWN_PAGE, "cookie": f"__Host-vedette={login['refresh_token']}"}
    assert _code(api.call("GET", "/api/events", headers=cookie)) == (401, "invalid-token")
    assert api.call("GET", "/api/events", headers=_with(answer)).status == 200


def test_over_plain_http_the_cookie_is_for_this_machine_only(api: ApiCalls) -> None:
    """On loopback it has a name that browsers accept there; elsewhere one cannot log in."""
    answer = _log_in(api, OWN_PAGE | PLAIN)
    cookie = _cookie(answer)
    assert (cookie.key, bool(cookie["secure"]), bool(cookie["httponly"])) == ("vedette-session", False, True)
    assert cookie["samesite"] == "strict"
    plain = _with(answer) | PLAIN
    assert api.call("GET", "/api/events", headers=plain).status == 200
    assert api.call("GET", "/api/events", headers=_with(answer)).status == 401, "https has another cookie"
    assert _code(_log_in(api, OWN_PAGE | REMOTE)) == (403, "https-required")
    assert api.call("GET", SESSION, headers=REMOTE).json()["log_in"] == "https-required"


def test_a_wrong_password_begins_no_session(api: ApiCalls) -> None:
    """The attempts count as those of the other log-ins do."""
    answers = [_log_in(api, password="wrong") for _ in range(11)]
    assert _code(answers[0]) == (401, "invalid-credentials")
    assert all(answer.set_cookie == "" for answer in answers)
    assert _code(answers[-1]) == (429, "too-many-attempts")


def test_an_anonymous_role_is_seen(database_url: str) -> None:
    """The page learns as what a caller without a session looks around."""
    with users_api(database_url, anonymous_role="viewer") as api:
        me = api.get(SESSION).json()
        assert (me["kind"], me["role"], me["log_in"]) == ("anonymous", "viewer", "available")
        assert "events:read" in me["permissions"]
        stale = {**OWN_PAGE, "cookie": "__Host-vedette=gone"}
        assert api.call("GET", SESSION, headers=stale).json()["role"] == "viewer"


def test_behind_a_gateway_there_are_no_sessions() -> None:
    """Everybody may do everything, and nobody can log in."""
    handler, dependencies = lambda_api()
    api = ApiCalls(handler)
    me = api.get(SESSION).json()
    assert (me["kind"], me["role"], me["log_in"]) == ("anonymous", "admin", "none")
    assert _code(_log_in(api)) == (404, "users-not-enabled")
    assert api.call("DELETE", SESSION, headers=OWN_PAGE).status == 200
    handler.close()
    dependencies.close()
