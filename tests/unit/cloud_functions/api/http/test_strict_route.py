"""Rules of every route: unknown and repeated parameters, methods, trailing slashes, body sizes, ETags."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from cloud_functions.api.app import create_app
from cloud_functions.api.http.strict_route import MAX_BODY_BYTES, StrictRoute
from tests.support.api_calls import (
    AWS_EVENTS,
    ApiCalls,
    FakeSnapshots,
    filled_path,
    http_api_event,
    lambda_api,
    store,
    stored_event,
)

KEY = "camera-1/2026-11-20/tracking_120000_000000.jpg"


def _routes() -> list[tuple[str, str]]:
    handler, dependencies = lambda_api()
    app = create_app(dependencies=dependencies)
    handler.close()
    routes = [
        (method, context.path)
        for context in iter_route_contexts(app.routes)
        for method in sorted(getattr(context, "methods", None) or ())
    ]
    dependencies.close()
    return routes


ROUTES = _routes()


@pytest.fixture(scope="module")
def staged() -> Iterator[ApiCalls]:
    """A client of an application behind a gateway stage, without a database."""
    handler, dependencies = lambda_api(root_path="/prod")
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def test_cloud_b1_the_tests_cover_every_route() -> None:
    """The tests cover all routes: both mounts, health, statistics and documentation.

    ``/api/devices`` lists cameras, as the snapshots document has it, so that devices are under ``/api/v1`` only.
    """
    assert {"/openapi.json", "/docs", "/redoc", "/docs-assets/{name}", "/health", "/stats"} <= {
        path for _, path in ROUTES
    }
    versioned = {path.replace("/api/v1", "/api") for _, path in ROUTES if path.startswith("/api/v1")}
    assert versioned - {"/api/devices/{device}"} == {
        path for _, path in ROUTES if path.startswith("/api") and not path.startswith("/api/v1")
    }


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("query", [[("no_such_parameter", "1")], [("limit", "1"), ("limit", "1")]])
def test_cloud_b1_every_route_rejects_unknown_and_repeated_parameters(
    api: ApiCalls, method: str, path: str, query: list[tuple[str, str]]
) -> None:
    """An undeclared or repeated parameter is a 422 on every route and method."""
    answer = api.call(
        method, filled_path(path, name="favicon.png"), query, body="{}" if method in ("POST", "PUT") else None
    )
    assert answer.status == 422, answer
    assert answer.error().errors[0]["parameter"] == query[0][0]


def test_cloud_b1_every_route_is_strict() -> None:
    """A route of another class would accept unknown parameters."""
    handler, dependencies = lambda_api()
    app = create_app(dependencies=dependencies)
    handler.close()
    originals = [context.original_route for context in iter_route_contexts(app.routes)]
    assert originals
    assert all(isinstance(route, StrictRoute) for route in originals if isinstance(route, APIRoute))
    assert all(isinstance(route, APIRoute) for route in originals)


def test_cloud_b1_the_parameter_of_the_batch_route_is_rejected_on_the_single_route(api: ApiCalls) -> None:
    """``delete_snapshots`` instead of ``delete_snapshot`` must not silently keep the snapshot."""
    answer = api.delete("/api/events/42", delete_snapshots="true")
    assert (answer.status, answer.json()["errors"][0]["parameter"]) == (422, "delete_snapshots")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/events/delete", '{"camera_id": "camera-1", "camera_id": "camera-2"}'),
        ("POST", "/api/events/delete", '{"camera_id": "camera-1", "camera\\u005fid": "camera-1"}'),
        ("POST", "/api/plates/watchlists", '{"name": "a", "name": "b"}'),
        (
            "POST",
            "/api/plates/watchlists/1/patterns",
            '{"patterns": [{"kind": "exact", "kind": "glob", "pattern": "A1"}]}',
        ),
    ],
)
def test_cloud_b1_a_repeated_key_in_a_body_is_rejected(api: ApiCalls, method: str, path: str, body: str) -> None:
    """A repeated key is a 422 at any depth and in any spelling."""
    answer = api.call(method, path, body=body)
    assert answer.status == 422
    assert "more than once" in answer.json()["detail"]
    assert answer.json()["errors"][0]["location"] == "body"


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path in ROUTES if method == "GET"])
def test_cloud_c7_head_works_wherever_get_does(api: ApiCalls, method: str, path: str) -> None:
    """HEAD returns the status and headers of GET without a body."""
    place = filled_path(path, name="favicon.png")
    expected, answer = api.call(method, place), api.call("HEAD", place)
    assert (answer.status, answer.body) == (expected.status, b"")
    assert answer.headers.get("content-type") == expected.headers.get("content-type")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/events/42", "GET, HEAD, DELETE"),
        ("/api/v1/plates/watchlists/1", "GET, HEAD, PUT, DELETE"),
        ("/api/plates/watchlists", "GET, HEAD, POST"),
        ("/health", "GET, HEAD"),
    ],
)
def test_cloud_c7_a_405_lists_every_method_of_the_path(api: ApiCalls, path: str, allowed: str) -> None:
    """``Allow`` has the methods of all routes with this path, not only of the first."""
    answer = api.call("PATCH", path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


FIXED = sorted({path for _, path in ROUTES if "{" not in path})


@pytest.mark.parametrize("path", FIXED)
def test_cloud_c7_a_static_path_is_not_a_placeholder_value(api: ApiCalls, path: str) -> None:
    """``DELETE /events/recent`` is a 405: it does not delete an event called ``recent``."""
    own = {method for method, one in ROUTES if one == path}
    expected = [method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") if method in own]
    if "GET" in own:
        expected.insert(1, "HEAD")
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - own:
        answer = api.call(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, ", ".join(expected)), method


def test_cloud_c7_only_complete_static_paths_take_precedence(api: ApiCalls) -> None:
    """A part of a static path is a valid placeholder value, also behind a stage."""
    assert api.get("/api/plates/recent").status == 503  # a plate; the application has no database
    assert api.get("/api/events/Recent").status == 422


def test_cloud_c7_the_openapi_document_lists_special_responses(api: ApiCalls) -> None:
    """It lists 400 and 413 for routes with a body, 409 for unique names, and 304 for images."""
    paths: dict[str, Any] = api.get("/openapi.json").json()["paths"]
    with_body = [each for path in paths.values() for each in path.values() if "requestBody" in each]
    assert with_body
    assert all({"400", "413"} <= set(operation["responses"]) for operation in with_body)
    assert "409" in paths["/api/plates/watchlists"]["post"]["responses"]
    assert "409" in paths["/api/plates/watchlists/{watchlist}"]["put"]["responses"]
    assert "304" in paths["/api/events/{event}/snapshot"]["get"]["responses"]
    assert not any("head" in path for path in paths.values())


@pytest.mark.parametrize(
    ("path", "status"), [("/docs/", 200), ("/health/", 200), ("/api/events/", 503), ("/prod/docs/", 200)]
)
def test_cloud_c9_a_trailing_slash_is_answered_without_a_redirect(staged: ApiCalls, path: str, status: int) -> None:
    """A redirect would lose the stage of a gateway."""
    answer = staged.get(path)
    assert answer.status == status, answer
    assert "location" not in answer.headers


def test_cloud_c9_two_trailing_slashes_are_another_path(staged: ApiCalls) -> None:
    """One trailing slash makes no difference; an empty segment does."""
    assert staged.get("/docs//").status == 404


def test_cloud_c6_a_body_over_the_limit_is_rejected(api: ApiCalls) -> None:
    """The response is a 413, whatever length the client announced."""
    body = '{"camera_id": "' + "a" * MAX_BODY_BYTES + '"}'
    answer = api.call("POST", "/api/events/delete", body=body)
    assert answer.status == 413
    assert answer.json()["type"] == "urn:vedette:problem:body-too-large"
    event = http_api_event("POST", "/api/events/delete", body='{"camera_id": "camera-1"}')
    event["headers"]["content-length"] = str(10 * MAX_BODY_BYTES)
    assert api.invoke(event).status == 413


def test_cloud_c7_if_none_match_is_honoured(database_url: str) -> None:
    """A client that has the current image gets a 304; any other client gets the image."""
    [number] = store(database_url, [stored_event(snapshot_path=KEY)])
    handler, dependencies = lambda_api(database_url, snapshots=FakeSnapshots({f"snapshots/gate-01/{KEY}": b"jpeg"}))
    calls = ApiCalls(handler)

    def ask(tag: str | None, method: str = "GET") -> Any:
        event = http_api_event(method, f"/api/events/{number}/snapshot")
        event["headers"] |= {} if tag is None else {"if-none-match": tag}
        return calls.invoke(event)

    try:
        first = ask(None)
        assert (first.status, first.body, first.headers["etag"]) == (200, b"jpeg", '"e-tag"')
        for tag in ('"e-tag"', '"other", W/"e-tag"', "*"):
            for method in ("GET", "HEAD"):
                again = ask(tag, method)
                assert (again.status, again.body, again.headers["etag"]) == (304, b"", '"e-tag"')
                assert not {"content-length", "content-disposition"} & set(again.headers)
        assert ask('"other"').body == b"jpeg"
    finally:
        handler.close()
        dependencies.close()


def test_cloud_16_events_of_all_gateways_are_accepted(api: ApiCalls) -> None:
    """HTTP API, REST API and load balancer: repeated parameters, null fields, base64 bodies, cookies, long headers."""
    rest = json.loads((AWS_EVENTS / "apigw_rest_v1_list_events.json").read_text(encoding="utf-8"))
    rest |= {"multiValueQueryStringParameters": {"camera_id": ["a", "b"]}, "queryStringParameters": {"camera_id": "b"}}
    assert api.invoke(rest).status == 422
    assert api.invoke(rest | {"multiValueQueryStringParameters": None, "queryStringParameters": None}).status == 503
    balancer = {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/a/b"}},
        "httpMethod": "GET",
        "path": "/api/events",
        "multiValueQueryStringParameters": {"camera_id": ["a", "b"]},
        "multiValueHeaders": {"host": ["example.com"], "cookie": ["a=b", "c=d"]},
        "body": "",
        "isBase64Encoded": False,
    }
    assert api.invoke(balancer).status == 422
    assert api.invoke(balancer | {"multiValueQueryStringParameters": {"camera_id": ["a"]}}).status == 503
    event = http_api_event("GET", "/api/events") | {"cookies": ["a=b", "c=d"], "queryStringParameters": None}
    event["headers"]["x-long"] = "x" * 20_000
    assert api.invoke(event).status == 503
    assert api.invoke(http_api_event("GET", "/api/events", query="camera_id=a&camera_id=b")).status == 422


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/events/delete", '{"camera_id": "camera-1"}'),
        ("POST", "/api/plates/watchlists", '{"name": "stolen"}'),
        ("PUT", "/api/plates/watchlists/1", '{"name": "stolen"}'),
        ("POST", "/api/plates/watchlists/1/patterns", '{"patterns": [{"kind": "exact", "pattern": "AB1"}]}'),
    ],
)
def test_cloud_18_only_json_bodies_are_accepted(
    api: ApiCalls, method: str, path: str, body: str, content_type: str | None
) -> None:
    """Web pages of other sites can send these media types without a preflight request, so they are not parsed as
    JSON."""
    event = http_api_event(method, path, body=body)
    del event["headers"]["content-type"]
    event["headers"] |= {} if content_type is None else {"content-type": content_type}
    assert api.invoke(event).status == 422
    event["headers"]["content-type"] = "application/json"
    assert api.invoke(event).status == 503
