"""What requests add to the audit log, on a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from cloud_functions.api.app import create_app
from cloud_functions.api.audit.responses import AuditListEnvelope
from cloud_functions.api.security.audit.request_audit import VIEWED
from cloud_functions.api.security.plate_access import PlateAccess
from cloud_functions.db.audit.chain import verify_chain
from cloud_functions.db.connect import connect_to
from cloud_functions.privacy.vault import PlateVault
from tests.support.api_calls import Answer, ApiCalls, FakeSnapshots, lambda_api, store, stored_event
from tests.support.ingest_harness import IngestHarness
from tests.support.protected_sites import keys, protect
from tests.support.revealing_reads import PLATE, TEXT, assert_no_plate_revealed
from tests.support.users import PASSWORD, add_key, add_user, bearer, users_api

LOGIN = "/api/auth/login-json"
PATH = "camera-1/2026-11-20/motion_120000_000000.jpg"
COLUMNS: LiteralString = "actor_kind, actor_name, action, target, outcome, reason"


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    with users_api(database_url, anonymous_role="viewer") as calls:
        yield calls


def _entries(url: str, columns: LiteralString = COLUMNS) -> list[tuple[Any, ...]]:
    with connect_to(url) as connection:
        assert verify_chain_of(connection) == []
        return connection.execute(f"SELECT {columns} FROM audit_log ORDER BY at").fetchall()


def verify_chain_of(connection: Any) -> list[str]:
    with connection.transaction():
        return verify_chain(connection).faults


def _send(api: ApiCalls, key: str, method: str, path: str, body: Any = None) -> Answer:
    return api.call(method, path, body=None if body is None else json.dumps(body), headers=bearer(key))


def test_log_ins_are_recorded(api: ApiCalls, database_url: str) -> None:
    """Success and failure, with the user; never the name of a user who does not exist, which may be a password."""
    user_id = add_user(database_url)
    session = api.post(LOGIN, {"username": "ana", "password": PASSWORD}).json()
    api.post(LOGIN, {"username": "ANA", "password": "wrong"})
    api.post("/api/v1/auth/login", {"username": "hunter2", "password": "wrong"})
    api.post("/api/auth/refresh", {"refresh_token": session["refresh_token"]})
    api.post("/api/auth/logout", {"refresh_token": session["refresh_token"]})
    assert _entries(database_url) == [
        ("user", "ana", "login_json", None, "success", None),
        ("user", "ana", "login_json", None, "denied", "invalid-credentials"),
        ("anonymous", "unknown user", "login", None, "denied", "invalid-credentials"),
        ("user", "ana", "logout", None, "success", None),
    ]
    assert _entries(database_url, "actor_id, address, request_id IS NOT NULL")[0] == (user_id, "203.0.113.10", True)
    assert "hunter2" not in str(_entries(database_url, "audit_log::text"))


def test_no_character_keeps_a_request_out_of_the_log(api: ApiCalls, database_url: str) -> None:
    """PostgreSQL stores no NUL, and a line end could make an entry look like two."""
    key = add_key(database_url, "events:delete")
    for path in ("/api/events/%00", "/api/v1/cameras/a%0Ab%00"):
        assert _send(api, key, "DELETE", path).status in (403, 422)
    assert _entries(database_url, "actor_name, target, outcome") == [
        ("robot", "event=\\x00", "failure"),
        ("robot", "camera=a\\nb\\x00", "denied"),
    ]


def test_writes_are_recorded_with_their_outcome(api: ApiCalls, database_url: str) -> None:
    """Success, a missing resource, an invalid body, and a caller who may not."""
    key, weak = add_key(database_url, "*"), add_key(database_url, "events:read", name="weak")
    [number] = store(database_url, [stored_event()])
    for credential, status in ((key, 200), (key, 404), (weak, 403)):
        assert _send(api, credential, "DELETE", f"/api/events/{number}").status == status
    assert _send(api, key, "POST", "/api/plates/watchlists", {"name": ""}).status == 422
    assert _send(api, key, "POST", "/api/plates/watchlists", {"name": "staff"}).status == 201
    assert _send(api, key, "POST", "/api/events/delete", {"camera_id": "nowhere"}).status == 200
    assert api.delete(f"/api/events/{number}").status == 401
    target = f"event={number}"
    assert _entries(database_url) == [
        ("api_key", "robot", "delete_event", target, "success", None),
        ("api_key", "robot", "delete_event", target, "failure", "event-not-found"),
        ("api_key", "weak", "delete_event", target, "denied", "forbidden"),
        ("api_key", "robot", "create_watchlist", None, "failure", "invalid-parameter"),
        ("api_key", "robot", "create_watchlist", None, "success", None),
        ("api_key", "robot", "delete_events", None, "success", None),
    ]


def test_a_write_and_its_entry_are_one_transaction(api: ApiCalls, database_url: str) -> None:
    """What cannot be recorded does not happen."""
    key = add_key(database_url, "*")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE audit_log ADD CONSTRAINT refuse CHECK (action <> 'create_watchlist')")
    assert _send(api, key, "POST", "/api/plates/watchlists", {"name": "staff"}).status == 500
    assert _send(api, key, "GET", "/api/plates/watchlists").json()["watchlists"] == []
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE audit_log DROP CONSTRAINT refuse")
    assert _send(api, key, "POST", "/api/plates/watchlists", {"name": "staff"}).status == 201


def test_what_users_are_given_is_recorded(api: ApiCalls, database_url: str) -> None:
    """Roles and scopes, but no password, key or token."""
    key = add_key(database_url, "*")
    body = {"username": "ana", "role": "operator", "password": PASSWORD}
    _send(api, key, "POST", "/api/users", body)
    _send(api, key, "PATCH", "/api/users/ana", {"role": "viewer"})
    token = _send(api, key, "POST", "/api/users/ana/reset-password").json()["data"]["reset_token"]
    made = _send(api, key, "POST", "/api/api-keys", {"name": "k", "scopes": ["events:read"]}).json()["data"]["key"]
    api.post("/api/auth/reset-password", {"reset_token": token, "new_password": "another password"})
    assert _entries(database_url, "actor_name, action, target, details") == [
        ("robot", "create_user", None, {"username": "ana", "role": "operator", "groups": None}),
        ("robot", "change_user", "user=ana", {"role": "viewer"}),
        ("robot", "reset_user", "user=ana", {}),
        ("robot", "create_api_key", None, {"name": "k", "scopes": ["events:read"], "groups": None}),
        ("ana", "reset_password", None, {}),
    ]
    dump = str(_entries(database_url, "audit_log::text"))
    assert [secret for secret in (PASSWORD, token, made, key, "another password") if secret in dump] == []


def test_views_are_recorded(database_url: str) -> None:
    """Pictures, searches of plates and exports, by anonymous callers too; lists, and what does not exist, are not."""
    [number] = store(database_url, [stored_event(snapshot_path=PATH)])
    with users_api(
        database_url, anonymous_role="viewer", snapshots=FakeSnapshots({f"snapshots/gate-01/{PATH}": b"picture"})
    ) as api:
        viewed = [
            f"/api/events/{number}/snapshot",
            f"/api/v1/events/{number}/snapshot-url",
            "/api/events/export?format=csv&camera_id=camera-1",
            "/api/plates?plate=AB-123",
            "/api/plates?plate=AB&match=prefix",
            "/api/events/plate/ab123",
            "/events/plate/ab123",
            "/api/events?license_plate=AB123",
        ]
        for path in (*viewed, "/api/events", "/api/plates", "/api/events/999/snapshot", "/api/cameras"):
            assert api.get(path).status in (200, 404), path
        entries = _entries(database_url, "actor_name, action, target, outcome, details")
        assert entries == [
            ("anonymous", "event_snapshot", f"event={number}", "success", {}),
            ("anonymous", "event_snapshot_url", f"event={number}", "success", {}),
            ("anonymous", "export_events", None, "success", {"query": {"format": "csv", "camera_id": "camera-1"}}),
            ("anonymous", "list_plates", None, "success", {"plate": "AB123"}),
            ("anonymous", "list_plates", None, "success", {"query": {"match": "prefix"}, "plate": "AB"}),
            ("anonymous", "plate_events", None, "success", {"plate": "AB123"}),
            ("anonymous", "plate_rows", None, "success", {"plate": "AB123"}),
            ("anonymous", "list_events", None, "success", {"plate": "AB123"}),
        ]


def test_a_picture_that_cannot_be_recorded_is_not_shown(database_url: str) -> None:
    """503, without the picture."""
    [number] = store(database_url, [stored_event(snapshot_path=PATH)])
    with users_api(
        database_url, anonymous_role="viewer", snapshots=FakeSnapshots({f"snapshots/gate-01/{PATH}": b"picture"})
    ) as api:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("ALTER TABLE audit_log ADD CONSTRAINT refuse CHECK (false) NOT VALID")
        answer = api.get(f"/api/events/{number}/snapshot")
    assert (answer.status, answer.error().code) == (503, "unavailable")
    assert b"picture" not in answer.body


def test_a_searched_plate_of_a_protected_deployment_is_recorded_by_its_token(
    database_url: str, tmp_path: Path, sealing_ingest: IngestHarness
) -> None:
    """No readable plate is in the log, and the entry is found by the plate."""
    protect(database_url, tmp_path)
    access = PlateAccess(vault=PlateVault(master_keys=keys(tmp_path)))
    with users_api(database_url, anonymous_role="viewer", plate_access=access) as api:
        api.get("/api/plates", plate=PLATE)
        api.get(f"/api/plates/{TEXT}")
        key = add_key(database_url, "audit:read")
        found = _send(api, key, "GET", f"/api/v1/audit?plate={TEXT}").json()
    assert_no_plate_revealed(str(_entries(database_url, "audit_log::text")))
    assert [entry["action"] for entry in found["data"]] == ["plate_history", "list_plates"]
    assert found["data"][0]["details"]["plate_tokens"][0].startswith("~")


def test_the_log_is_listed(api: ApiCalls, database_url: str) -> None:
    """In pages, by condition, with the documented shape, to callers with the permission alone."""
    add_user(database_url, "root", role="admin")
    token = api.post(LOGIN, {"username": "root", "password": PASSWORD}).json()["access_token"]
    for name in ("a", "b", "c"):
        _send(api, token, "POST", "/api/plates/watchlists", {"name": name})
    page = _send(api, token, "GET", "/api/v1/audit?page_size=2&actor=ROOT").json()
    AuditListEnvelope.model_validate(page, strict=True)
    assert [entry["action"] for entry in page["data"]] == ["create_watchlist", "create_watchlist"]
    assert page["meta"] == {"page": 1, "pageSize": 2, "total": 4, "totalPages": 2}
    assert _send(api, token, "GET", "/api/v1/audit?action=login_json").json()["meta"]["total"] == 1
    assert _send(api, token, "GET", "/api/v1/audit?end_time=2020-01-01").json()["data"] == []
    assert _send(api, token, "GET", "/api/v1/audit?start_time=2027-01-01&end_time=2026-01-01").status == 422
    assert api.get("/api/v1/audit").status == 401
    weak = add_key(database_url, "events:read")
    assert _send(api, weak, "GET", "/api/v1/audit").status == 403


def test_every_viewed_operation_exists() -> None:
    """The table of views names routes of the API."""
    handler, dependencies = lambda_api()
    paths = create_app(dependencies=dependencies).openapi()["paths"]
    handler.close()
    operations = {operation["operationId"] for path in paths.values() for operation in path.values()}
    assert operations >= VIEWED
