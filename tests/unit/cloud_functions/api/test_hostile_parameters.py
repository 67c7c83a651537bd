"""Hostile and random values for every parameter of every operation in the OpenAPI document.

The application has no database: an accepted value gives a 503, an unexpected error a 500.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_functions.api.http.parameters import plate_parameter
from shared.ids import is_segment
from tests.support.api_calls import Answer, ApiCalls, filled_path, lambda_api

HOSTILE = [
    "' OR '1'='1",
    "1; DROP TABLE events; --",
    '" OR ""="',
    "') UNION SELECT usename, passwd FROM pg_shadow --",
    "1' AND pg_sleep(10) --",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "%2e%2e%2fetc%2fpasswd",
    "camera-1\x00",
    "camera-1\r\nSet-Cookie: a=b",
    "${jndi:ldap://x/a}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "$(reboot)",
    "|id",
    "\u202egnp.exe",
    "𝟙𝟚𝟛",
    "-1",
    "1e400",
    "NaN",
    "Infinity",
    str(2**63),
    "9" * 400,
    "",
    " ",
    "[]",
    "{}",
]


def _operations() -> list[tuple[str, str, dict[str, Any]]]:
    handler, dependencies = lambda_api()
    try:
        description = ApiCalls(handler).get("/openapi.json").json()
    finally:
        handler.close()
        dependencies.close()
    return [
        (method.upper(), path, operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]


OPERATIONS = _operations()
PARAMETERS = [
    pytest.param(method, path, parameter["in"], parameter["name"], id=f"{method} {path} {parameter['name']}")
    for method, path, operation in OPERATIONS
    for parameter in operation.get("parameters", [])
    if parameter["in"] != "header"  # test_versions.py has the hostile values of If-Match
]


def _call(api: ApiCalls, method: str, path: str, where: str, name: str, value: str) -> Answer:
    filled = filled_path(path, **{name: value} if where == "path" else {})
    return api.call(method, filled, {name: value} if where == "query" else {})


def _is_rejected(answer: Answer) -> bool:
    return answer.status in (404, 405, 422) and answer.error().status == answer.status


def _is_harmless(name: str, value: str) -> bool:
    """Return whether the parameter accepts the value."""
    if name in ("camera_id", "site_id", "region", "camera", "group", "group_id", "device", "device_id", "user"):
        return is_segment(value)
    if name in ("search", "actor", "action", "target"):
        return 1 <= len(value) <= 100 and value == value.strip() and not any(ord(char) < 32 for char in value)
    if name in ("license_plate", "text", "plate"):
        return _is_plate(value)
    return (name in ("class_name", "zone") and value.isalnum() and len(value) <= 200) or (
        name == "limit" and value.isascii() and value.isdecimal()
    )


def _is_plate(value: str) -> bool:
    try:
        return bool(plate_parameter(value))
    except ValueError:
        return False


@pytest.mark.parametrize(("method", "path", "where", "name"), PARAMETERS)
def test_hostile_values_are_rejected_with_a_problem(
    api: ApiCalls, method: str, path: str, where: str, name: str
) -> None:
    """SQL, paths, control characters and invalid numbers are a 422 that names the parameter, or a 404 if no route
    matches."""
    for value in HOSTILE:
        if (where == "path" and value in ("", " ")) or _is_harmless(name, value):
            continue
        answer = _call(api, method, path, where, name, value)
        assert _is_rejected(answer), (value, answer)
        if answer.status == 422:
            assert answer.error().errors[0]["location"] == where
            assert name in answer.body.decode()


@pytest.mark.parametrize(("method", "path", "where", "name"), PARAMETERS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(max_size=120))
def test_arbitrary_text_does_not_break_a_parameter(
    api: ApiCalls, method: str, path: str, where: str, name: str, value: str
) -> None:
    """Any text is rejected with a problem or reaches the (missing) database."""
    answer = _call(api, method, path, where, name, value)
    assert answer.status in (404, 405, 422, 503, 307), answer
    if answer.status != 307:
        assert answer.error().status == answer.status


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in OPERATIONS if "health" not in path])
def test_repeated_query_parameters_are_rejected(api: ApiCalls, method: str, path: str) -> None:
    """A repeated parameter is a 422 on every operation."""
    twice = api.call(method, filled_path(path), [("camera_id", "camera-1"), ("camera_id", "camera-2")])
    assert twice.status == 422
    assert "more than once" in twice.error().message


def test_a_misspelled_condition_is_rejected(api: ApiCalls) -> None:
    """``camera`` instead of ``camera_id`` must not list the events of all cameras."""
    answer = api.get("/api/events", camera="camera-1")
    assert answer.status == 422
    assert answer.json()["errors"] == [{"parameter": "camera", "location": "query", "message": "unknown parameter"}]


BODIES: list[Any] = [
    "",
    "{",
    "[]",
    "null",
    '"x"',
    "{}",
    '{"limit": 5}',
    '{"camera_id": "camera-1", "limit": 0}',
    '{"camera_id": "camera-1", "limit": 10001}',
    '{"camera_id": null}',
    '{"camera_id": ["camera-1"]}',
    '{"camera_id": {"$ne": ""}}',
    '{"camera_id": "camera-1", "everything": true}',
    '{"class_name": "\\ud800"}',
    '{"class_name": "a\\u0000"}',
    '{"min_confidence": 1e999}',
    '{"min_confidence": NaN}',
    '{"start_time": "2026-11-20T10:30:61"}',
    "[" * 5000,
    '{"camera_id": "' + "a" * 100_000 + '"}',
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_hostile_bodies_are_rejected_with_a_problem(api: ApiCalls, body: str) -> None:
    """Invalid JSON, other types, missing conditions, deep nesting and huge values delete nothing."""
    answer = api.post("/api/events/delete", body)
    assert answer.status in (400, 422), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.body) < 4000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=20)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["camera_id", "event_type", "zone", "min_confidence", "limit", "start_time", "x"]),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=8,
    )
)
def test_arbitrary_json_does_not_break_deleting(api: ApiCalls, body: Any) -> None:
    """Any JSON body is rejected with a problem or reaches the (missing) database."""
    answer = api.post("/api/events/delete", json.dumps(body))
    assert answer.status in (422, 503), answer
    assert answer.headers["content-type"] == "application/problem+json"


def test_every_operation_is_covered() -> None:
    """The OpenAPI document lists exactly these operations, so the tests above cover all of them."""
    assert {(method, path) for method, path, _ in OPERATIONS} == {
        ("GET", "/api/events"),
        ("GET", "/api/events/stats"),
        ("GET", "/api/events/recent"),
        ("GET", "/api/events/export"),
        ("GET", "/api/events/camera/{camera_id}"),
        ("GET", "/api/events/plate/{text}"),
        ("POST", "/api/events/delete"),
        ("GET", "/api/events/{event}"),
        ("DELETE", "/api/events/{event}"),
        ("GET", "/api/events/{event}/snapshot"),
        ("GET", "/api/events/{event}/thumbnail"),
        ("GET", "/api/events/{event}/snapshot-url"),
        ("GET", "/api/plates"),
        ("GET", "/api/plates/stats"),
        ("GET", "/api/plates/{text}"),
        ("GET", "/stats"),
        ("GET", "/events/recent"),
        ("GET", "/events/{event_id}"),
        ("GET", "/events/plate/{text}"),
        ("GET", "/events/camera/{camera_id}"),
        ("GET", "/api/plates/watchlists"),
        ("POST", "/api/plates/watchlists"),
        ("GET", "/api/plates/watchlists/{watchlist}"),
        ("PUT", "/api/plates/watchlists/{watchlist}"),
        ("DELETE", "/api/plates/watchlists/{watchlist}"),
        ("GET", "/api/plates/watchlists/{watchlist}/patterns"),
        ("POST", "/api/plates/watchlists/{watchlist}/patterns"),
        ("GET", "/api/plates/watchlists/{watchlist}/patterns/{pattern}"),
        ("DELETE", "/api/plates/watchlists/{watchlist}/patterns/{pattern}"),
        ("GET", "/api/webhooks"),
        ("POST", "/api/webhooks"),
        ("POST", "/api/websocket/tickets"),
        ("GET", "/api/webhooks/{webhook}"),
        ("PUT", "/api/webhooks/{webhook}"),
        ("DELETE", "/api/webhooks/{webhook}"),
        ("POST", "/api/webhooks/{webhook}/secret"),
        ("POST", "/api/webhooks/{webhook}/test"),
        ("GET", "/api/webhooks/{webhook}/deliveries"),
        ("GET", "/api/webhooks/{webhook}/deliveries/{delivery}"),
        ("POST", "/api/webhooks/{webhook}/deliveries/{delivery}/redeliver"),
        ("GET", "/api/replay"),
        ("POST", "/api/replay"),
        ("GET", "/api/replay/{replay}"),
        ("POST", "/api/replay/{replay}/cancel"),
        ("GET", "/api/retention/effective"),
        ("GET", "/api/retention/preview"),
        ("GET", "/api/retention/policies"),
        ("POST", "/api/retention/policies"),
        ("GET", "/api/retention/policies/{policy}"),
        ("PUT", "/api/retention/policies/{policy}"),
        ("DELETE", "/api/retention/policies/{policy}"),
        ("GET", "/api/retention/holds"),
        ("POST", "/api/retention/holds"),
        ("GET", "/api/retention/holds/{hold}"),
        ("POST", "/api/retention/holds/{hold}/release"),
        ("GET", "/api/cameras"),
        ("POST", "/api/cameras"),
        ("POST", "/api/cameras/import"),
        ("GET", "/api/cameras/export"),
        ("GET", "/api/cameras/{camera}/health"),
        ("GET", "/api/cameras/summary"),
        ("GET", "/api/cameras/{camera}"),
        ("PUT", "/api/cameras/{camera}"),
        ("DELETE", "/api/cameras/{camera}"),
        ("PATCH", "/api/cameras/{camera}/state"),
        ("GET", "/api/cameras/groups"),
        ("POST", "/api/cameras/groups"),
        ("GET", "/api/cameras/groups/{group}"),
        ("PUT", "/api/cameras/groups/{group}"),
        ("DELETE", "/api/cameras/groups/{group}"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/login-json"),
        ("POST", "/api/auth/refresh"),
        ("POST", "/api/auth/logout"),
        ("GET", "/api/auth/me"),
        ("PUT", "/api/auth/password"),
        ("GET", "/api/devices"),
        ("GET", "/api/v1/devices"),
        ("GET", "/api/v1/devices/{device}"),
        ("GET", "/api/health/report"),
        ("POST", "/api/auth/reset-password"),
        ("GET", "/api/users"),
        ("POST", "/api/users"),
        ("GET", "/api/users/{user}"),
        ("PUT", "/api/users/{user}"),
        ("PATCH", "/api/users/{user}"),
        ("DELETE", "/api/users/{user}"),
        ("POST", "/api/users/{user}/reset-password"),
        ("GET", "/api/api-keys"),
        ("POST", "/api/api-keys"),
        ("DELETE", "/api/api-keys/{key}"),
        ("GET", "/api/audit"),
        ("GET", "/api/health"),
        ("POST", "/api/cameras/groups/{group}/snapshot"),
        ("POST", "/api/cameras/{camera}/snapshot"),
        ("POST", "/api/cameras/{camera}/test-connection"),
        ("GET", "/api/commands/{command}"),
        ("DELETE", "/api/session"),
        ("GET", "/api/session"),
        ("POST", "/api/session"),
        ("GET", "/api/snapshots"),
        ("POST", "/api/snapshots/capture/{device_id}"),
        ("GET", "/api/snapshots/device/{device_id}"),
        ("GET", "/api/snapshots/device/{device_id}/latest"),
        ("DELETE", "/api/snapshots/{snapshot_id}"),
        ("GET", "/api/snapshots/{snapshot_id}"),
        ("GET", "/api/snapshots/{snapshot_id}/image"),
        ("GET", "/api/snapshots/{snapshot_id}/thumbnail"),
    }
