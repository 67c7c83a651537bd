"""Log-ins, tokens, API keys and permissions through the API, on a real database."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cloud_functions.api.security.login_throttle import MAX_PER_ACCOUNT, MAX_PER_ADDRESS
from cloud_functions.api.security.permissions import PUBLIC_OPERATIONS
from cloud_functions.api.users.responses import LoginEnvelope, MeResponse, TokenResponse
from shared.clock import ManualClock
from tests.support.api_calls import Answer, ApiCalls, filled_path, lambda_api
from tests.support.protected_sites import keys
from tests.support.users import PASSWORD, add_key, add_user, bearer, users_api

LOGIN = "/api/auth/login-json"
CAMERA = {"name": "Front Door", "rtsp_url": "rtsp://192.168.1.100/stream"}


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    with users_api(database_url) as calls:
        yield calls


def _log_in(api: ApiCalls, username: str = "ana", password: str = PASSWORD) -> dict[str, Any]:
    answer = api.post(LOGIN, {"username": username, "password": password})
    assert answer.status == 200, answer
    assert answer.headers["cache-control"] == "no-store"
    TokenResponse.model_validate(answer.json(), strict=True)
    return answer.json()


def _get(api: ApiCalls, path: str, token: str, **parameters: str) -> Answer:
    return api.call("GET", path, parameters, headers=bearer(token))


def _code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.error().code


def test_a_log_in_gives_access(api: ApiCalls, database_url: str) -> None:
    """The documented response, and a token that the other routes accept."""
    add_user(database_url, role="operator", email="ana@example.org")
    session = _log_in(api)
    assert (session["token_type"], session["expires_in"]) == ("bearer", 900)
    assert _get(api, "/api/events", session["access_token"]).status == 200
    me = _get(api, "/api/auth/me", session["access_token"]).json()
    MeResponse.model_validate(me, strict=True)
    assert (me["kind"], me["name"], me["user"]["role"], me["user"]["email"]) == (
        "user",
        "ana",
        "operator",
        "ana@example.org",
    )
    assert "cameras:write" in me["permissions"]


@pytest.mark.parametrize("login", [{"username": "ANA"}, {"username": "ana@example.org"}, {"email": "Ana@Example.org"}])
def test_the_log_in_of_the_camera_document(api: ApiCalls, database_url: str, login: dict[str, str]) -> None:
    """Username or email, and the response in the envelope."""
    add_user(database_url, email="ana@example.org")
    answer = api.post("/api/v1/auth/login", login | {"password": PASSWORD})
    assert answer.status == 200, answer
    LoginEnvelope.model_validate(answer.json(), strict=True)
    data = answer.json()["data"]
    assert (data["tokenType"], data["user"]["username"]) == ("bearer", "ana")
    assert _get(api, "/api/v1/cameras", data["accessToken"]).status == 200


def test_a_wrong_password_and_an_unknown_user_are_the_same(api: ApiCalls, database_url: str) -> None:
    """Nothing in the response says who exists or is disabled; the envelope has its own form."""
    add_user(database_url)
    add_user(database_url, "gone")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE users SET is_active = false WHERE username = 'gone'")
    given = [("ana", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD)]
    answers = [api.post(LOGIN, {"username": name, "password": password}) for name, password in given]
    assert len({answer.body for answer in answers}) == 1
    assert _code(answers[0]) == (401, "invalid-credentials")
    assert answers[0].headers["www-authenticate"].startswith("Bearer")
    answer = api.post("/api/v1/auth/login", {"username": "ana", "password": "wrong"})
    assert answer.json()["error"]["code"] == "invalid-credentials"


@pytest.mark.parametrize(
    "body",
    [
        {"username": "ana"},
        {"password": PASSWORD},
        {"username": "ana", "email": "ana@example.org", "password": PASSWORD},
        {"username": "a\u0000", "password": PASSWORD},
        {"username": "ana", "password": ""},
        {"username": "ana", "password": "x" * 1001},
        {"username": "ana", "password": {"$ne": ""}},
        {"username": "ana", "password": PASSWORD, "role": "admin"},
    ],
)
def test_an_invalid_log_in_is_a_422_without_the_password(api: ApiCalls, body: dict[str, Any]) -> None:
    """The response never repeats what was sent."""
    answer = api.post(LOGIN, body)
    assert _code(answer) == (422, "invalid-parameter")
    assert PASSWORD.encode() not in answer.body


def test_a_viewer_changes_nothing(api: ApiCalls, database_url: str) -> None:
    """403 for a caller who is known and may not, in the form of the path."""
    add_user(database_url)
    headers = bearer(_log_in(api)["access_token"])
    assert _code(api.call("DELETE", "/api/events/1", headers=headers)) == (403, "forbidden")
    answer = api.call("POST", "/api/v1/cameras", body=json.dumps(CAMERA), headers=headers)
    assert _code(answer) == (403, "forbidden")


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 201), ("admin", 201)])
def test_roles_decide(api: ApiCalls, database_url: str, role: str, status: int) -> None:
    """Operators and admins create cameras."""
    add_user(database_url, role=role)
    headers = bearer(_log_in(api)["access_token"])
    assert api.call("POST", "/api/v1/cameras", body=json.dumps(CAMERA), headers=headers).status == status


def test_without_credentials_nothing_but_health_is_open(api: ApiCalls) -> None:
    """401 and how to log in, on every route that has a permission."""
    for path, operations in api.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            if operation["operationId"] not in PUBLIC_OPERATIONS:
                answer = api.call(method.upper(), filled_path(path), body="{}" if method != "get" else None)
                assert _code(answer) == (401, "not-authenticated"), (method, path)
    answer = api.get("/api/events")
    assert _code(answer) == (401, "not-authenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="vedette"'
    assert _code(api.get("/api/v1/cameras")) == (401, "not-authenticated")
    assert api.get("/health").status == 200


def test_an_anonymous_role_opens_what_the_role_may(database_url: str) -> None:
    """The rest asks for credentials, and wrong credentials never count as none."""
    with users_api(database_url, anonymous_role="viewer") as api:
        assert api.get("/api/events").status == 200
        assert api.get("/api/auth/me").json()["kind"] == "anonymous"
        assert _code(api.delete("/api/events/1")) == (401, "not-authenticated")
        assert _code(_get(api, "/api/events", "nonsense")) == (401, "invalid-token")
        password = {"current_password": PASSWORD, "new_password": "another password"}
        assert _code(api.put("/api/auth/password", password)) == (403, "not-a-user")
        basic = {"authorization": "Basic YW5hOnNlc2FtZQ=="}
        assert api.call("GET", "/api/events", headers=basic).status == 200


def test_an_access_token_expires(database_url: str) -> None:
    """After a quarter of an hour; the refresh token returns a new one."""
    add_user(database_url)
    clock = ManualClock()
    with users_api(database_url, clock=clock) as api:
        session = _log_in(api)
        clock.advance(899)
        assert _get(api, "/api/events", session["access_token"]).status == 200
        clock.advance(2)
        assert _code(_get(api, "/api/events", session["access_token"])) == (401, "invalid-token")
        refreshed = api.post("/api/auth/refresh", {"refresh_token": session["refresh_token"]}).json()
        assert _get(api, "/api/events", refreshed["access_token"]).status == 200


def test_a_changed_token_is_rejected(api: ApiCalls, database_url: str) -> None:
    """Another role, another algorithm, another key, no signature, no token at all."""
    add_user(database_url)
    token = _log_in(api)["access_token"]
    header, payload, signature = token.split(".")

    def encoded(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    def decoded(part: str) -> dict[str, Any]:
        return json.loads(base64.urlsafe_b64decode(part + "=="))

    admin = encoded(decoded(payload) | {"role": "admin"})
    forged = [
        f"{header}.{admin}.{signature}",
        f"{encoded(decoded(header) | {'alg': 'none'})}.{admin}.",
        f"{encoded(decoded(header) | {'alg': 'HS256'})}.{admin}.{signature}",
        f"{encoded(decoded(header) | {'kid': 'other'})}.{payload}.{signature}",
        f"{encoded(decoded(header) | {'kid': 7})}.{payload}.{signature}",
        f"{header}.{payload}.",
        token[:-4],
        "x" * 5000,
        "a.b.c",
        "vdk_nonsense",
    ]
    assert {_code(_get(api, "/api/events", text)) for text in forged} == {(401, "invalid-token")}
    assert _get(api, "/api/events", token).status == 200


def test_a_refresh_token_works_once(api: ApiCalls, database_url: str) -> None:
    """The second use ends the session for both who have it."""
    add_user(database_url)
    first = _log_in(api)["refresh_token"]
    second = api.post("/api/auth/refresh", {"refreshToken": first}).json()["refresh_token"]
    assert _code(api.post("/api/auth/refresh", {"refresh_token": first})) == (401, "invalid-refresh-token")
    assert _code(api.post("/api/auth/refresh", {"refresh_token": second})) == (401, "invalid-refresh-token")


def test_logging_out_ends_one_session(api: ApiCalls, database_url: str) -> None:
    """The other session of the same user goes on; an unknown token is no error."""
    add_user(database_url)
    one, other = (_log_in(api)["refresh_token"] for _ in range(2))
    assert api.post("/api/auth/logout", {"refresh_token": one}).status == 200
    assert api.post("/api/auth/refresh", {"refresh_token": one}).status == 401
    assert api.post("/api/auth/refresh", {"refresh_token": other}).status == 200
    assert api.post("/api/auth/logout", {"refresh_token": "unknown"}).status == 200


@pytest.mark.parametrize("end", ["log-out", "password", "disabled", "deleted", "copied refresh token"])
def test_an_access_token_ends_with_its_session(api: ApiCalls, database_url: str, end: str) -> None:
    """At once, whatever ends the session. Of two sessions, the one that was not logged out goes on."""
    add_user(database_url)
    session, other = _log_in(api), _log_in(api)
    token, refresh_token = session["access_token"], {"refresh_token": session["refresh_token"]}
    assert _get(api, "/api/events", token).status == 200
    with psycopg.connect(database_url, autocommit=True) as connection:
        if end == "log-out":
            api.post("/api/auth/logout", refresh_token)
        elif end == "password":
            body = json.dumps({"current_password": PASSWORD, "new_password": "another password"})
            assert api.call("PUT", "/api/auth/password", body=body, headers=bearer(token)).status == 200
        elif end == "disabled":
            connection.execute("UPDATE users SET is_active = false")
        elif end == "deleted":
            connection.execute("DELETE FROM users")
        else:
            assert [api.post("/api/auth/refresh", refresh_token).status for _ in range(2)] == [200, 401]
    assert _code(_get(api, "/api/events", token)) == (401, "invalid-token")
    goes_on = end in ("log-out", "copied refresh token")
    assert _get(api, "/api/events", other["access_token"]).status == (200 if goes_on else 401)


def test_a_new_role_and_new_groups_apply_at_once(api: ApiCalls, database_url: str) -> None:
    """An access token says who the user is. What the user may do is what is stored now."""
    add_user(database_url, role="admin")
    token = _log_in(api)["access_token"]
    assert _get(api, "/api/v1/users", token).status == 200
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE users SET role = 'operator'")
        assert _code(_get(api, "/api/v1/users", token)) == (403, "forbidden")
        connection.execute("UPDATE users SET groups = '{north}'")
    assert _get(api, "/api/auth/me", token).json()["user"]["groups"] == ["north"]
    assert _code(_get(api, "/api/health/report", token, day="2026-11-01")) == (403, "limited-to-groups")


def test_a_disabled_user_cannot_refresh(api: ApiCalls, database_url: str) -> None:
    """Disabling ends the session, whichever of its tokens is used."""
    add_user(database_url)
    token = _log_in(api)["refresh_token"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE users SET is_active = false")
    assert api.post("/api/auth/refresh", {"refresh_token": token}).status == 401


def test_changing_the_password_ends_all_sessions(api: ApiCalls, database_url: str) -> None:
    """It needs the current password, and a new one of twelve characters."""
    add_user(database_url)
    session = _log_in(api)
    headers = bearer(session["access_token"])

    def change(current: str, new: str) -> Answer:
        body = json.dumps({"current_password": current, "new_password": new})
        return api.call("PUT", "/api/auth/password", body=body, headers=headers)

    assert _code(change("wrong", "another password")) == (401, "invalid-credentials")
    assert _code(change(PASSWORD, "short")) == (422, "invalid-parameter")
    assert change(PASSWORD, "another password").status == 200
    assert api.post("/api/auth/refresh", {"refresh_token": session["refresh_token"]}).status == 401
    assert api.post(LOGIN, {"username": "ana", "password": PASSWORD}).status == 401
    _log_in(api, password="another password")


def test_guessing_one_account_is_throttled(api: ApiCalls, database_url: str) -> None:
    """The right password too, by name or by email, until the window ends; other accounts are not affected."""
    add_user(database_url, email="ana@example.org")
    add_user(database_url, "ben")
    for number in range(MAX_PER_ACCOUNT):
        login = "ana" if number % 2 else "ana@example.org"
        assert api.post(LOGIN, {"username": login, "password": "wrong"}).status == 401
    answer = api.post(LOGIN, {"username": "ana", "password": PASSWORD})
    assert _code(answer) == (429, "too-many-attempts")
    assert 0 < int(answer.headers["retry-after"]) <= 900
    _log_in(api, "ben")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE login_attempts SET window_ends = now()")
    _log_in(api)


def test_successful_log_ins_are_not_throttled(api: ApiCalls, database_url: str) -> None:
    """A success forgets the attempts on the account."""
    add_user(database_url)
    for _ in range(2):
        for _ in range(MAX_PER_ACCOUNT - 1):
            assert api.post(LOGIN, {"username": "ana", "password": "wrong"}).status == 401
        _log_in(api)


def test_trying_many_accounts_from_one_address_is_throttled(api: ApiCalls, database_url: str) -> None:
    """Also for names that do not exist."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        api.post(LOGIN, {"username": "nobody", "password": "wrong"})
        connection.execute("UPDATE login_attempts SET attempts = %s WHERE subject LIKE 'address:%%'", [MAX_PER_ADDRESS])
    assert _code(api.post(LOGIN, {"username": "somebody", "password": "wrong"})) == (429, "too-many-attempts")


def test_an_api_key_has_its_scopes(api: ApiCalls, database_url: str) -> None:
    """In either header, and nothing beyond the scopes."""
    key = add_key(database_url, "events:read")
    for headers in (bearer(key), {"x-api-key": key}):
        assert api.call("GET", "/api/events", headers=headers).status == 200
        assert _code(api.call("DELETE", "/api/events/1", headers=headers)) == (403, "forbidden")
    everything = add_key(database_url, "*", name="everything")
    assert api.call("DELETE", "/api/events/1", headers={"x-api-key": everything}).status == 404
    me = api.call("GET", "/api/auth/me", headers={"x-api-key": everything}).json()
    assert (me["kind"], me["name"], me["user"]) == ("api_key", "everything", None)


def test_an_invalid_api_key_is_rejected(api: ApiCalls, database_url: str) -> None:
    """Expired, revoked, another secret behind a known prefix, in two headers, or something else."""
    key = add_key(database_url, "events:read")
    expired = add_key(database_url, "events:read", name="expired", days=-1)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE api_keys SET key_hash = %s WHERE name = 'robot'", [b"x" * 32])
    for text in (key, expired, key[:-1], "nonsense", ""):
        assert _code(api.call("GET", "/api/events", headers={"x-api-key": text})) == (401, "invalid-token"), text
    both = {"x-api-key": key} | bearer(key)
    assert _code(api.call("GET", "/api/events", headers=both)) == (401, "invalid-token")


def test_a_limit_to_groups_is_never_ignored(api: ApiCalls, database_url: str) -> None:
    """A route that does not apply the limit rejects the caller, who would otherwise do more than the groups allow."""
    add_user(database_url, role="admin", groups=["north"])
    token = _log_in(api)["access_token"]
    created = api.call("POST", "/api/plates/watchlists", body='{"name": "stolen"}', headers=bearer(token))
    assert _code(created) == (403, "limited-to-groups")
    assert _get(api, "/api/plates/watchlists", token).json()["total"] == 0
    assert _get(api, "/api/auth/me", token).json()["user"]["groups"] == ["north"]


def test_tokens_of_one_process_are_valid_in_another(api: ApiCalls, database_url: str) -> None:
    """Both use the key in the database, and a key that has been retired verifies for a while."""
    add_user(database_url)
    token = _log_in(api)["access_token"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE signing_keys SET created_at = created_at - interval '91 days'")
        with users_api(database_url) as other:
            assert _get(other, "/api/events", token).status == 200
            renewed = _log_in(other)["access_token"]
            assert _get(other, "/api/events", renewed).status == 200
            assert _get(other, "/api/events", token).status == 200
        assert connection.execute("SELECT count(*) FROM signing_keys").fetchone() == (2,)
        connection.execute(
            "UPDATE signing_keys SET retired_at = now() - interval '2 hours' WHERE retired_at IS NOT NULL"
        )
    with users_api(database_url) as later:
        assert _get(later, "/api/events", token).status == 401
        assert _get(later, "/api/events", renewed).status == 200


def test_the_private_key_is_wrapped_by_the_master_key(database_url: str, tmp_path: Path) -> None:
    """A process without that master key signs with a key of its own."""
    add_user(database_url)
    with users_api(database_url, master_keys=keys(tmp_path)) as api:
        token = _log_in(api)["access_token"]
        with psycopg.connect(database_url) as connection:
            [(wrapped, wrapped_by)] = connection.execute("SELECT private_key, wrapped_by FROM signing_keys").fetchall()
        assert wrapped_by.startswith("file:")
        assert len(wrapped) > 32
        with users_api(database_url) as other:
            _log_in(other)
            assert _get(other, "/api/events", token).status == 200


def test_no_secret_is_in_the_database_or_in_a_log(
    api: ApiCalls, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Passwords, refresh tokens and API keys are stored as hashes."""
    caplog.set_level(logging.DEBUG)
    add_user(database_url)
    key = add_key(database_url, "events:read")
    session = _log_in(api)
    api.post(LOGIN, {"username": PASSWORD, "password": PASSWORD})
    api.call("GET", "/api/events", headers={"x-api-key": key})
    api.post("/api/auth/refresh", {"refresh_token": session["refresh_token"]})
    tables = ("users", "refresh_tokens", "api_keys", "signing_keys", "login_attempts")
    with psycopg.connect(database_url) as connection:
        dump = "".join(
            str(connection.execute(f"SELECT t::text FROM {table} AS t").fetchall())  # type: ignore[arg-type]
            for table in tables
        )
    for secret in (PASSWORD, key, session["refresh_token"], session["access_token"]):
        assert secret not in dump
        assert secret not in caplog.text


def test_without_users_the_gateway_decides(database_url: str) -> None:
    """Everything is allowed as before, whatever the headers say, and there are no log-ins."""
    handler, dependencies = lambda_api(database_url)
    api = ApiCalls(handler)
    assert _get(api, "/api/events", "a token of the gateway").status == 200
    assert api.get("/api/auth/me").json()["kind"] == "anonymous"
    assert _code(api.post(LOGIN, {"username": "ana", "password": PASSWORD})) == (404, "users-not-enabled")
    assert _code(api.post("/api/v1/auth/login", {"username": "a", "password": "b"})) == (404, "users-not-enabled")
    handler.close()
    dependencies.close()
