"""The Lambda handler with events of API Gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cloud_functions.api.handler import within_limit
from tests.support.api_calls import AWS_EVENTS, ApiCalls, http_api_event, lambda_api


@pytest.fixture
def calls() -> Iterator[ApiCalls]:
    """A client of an application without a database, behind the stage ``prod``."""
    handler, _ = lambda_api(root_path="/prod")
    yield ApiCalls(handler)
    handler.close()


@pytest.mark.parametrize("name", ["apigw_http_v2_list_events", "apigw_rest_v1_list_events"])
def test_cloud_16_http_and_rest_api_events_reach_the_route(calls: ApiCalls, name: str) -> None:
    """Payload formats 2.0 and 1.0 give the route the same path and query. The 503 shows that only the database is
    missing."""
    event = json.loads((AWS_EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    assert calls.invoke(event).status == 503
    if "rawQueryString" in event:
        event["rawQueryString"] = "page=0"
    else:
        event["multiValueQueryStringParameters"] = {"page": ["0"]}
    answer = calls.invoke(event)
    assert answer.status == 422
    assert answer.json()["errors"][0]["parameter"] == "page"


def test_problems_and_json_are_sent_as_text() -> None:
    """A REST API without binary media types would pass base64 to the client."""
    handler, _ = lambda_api()
    result = handler(http_api_event("GET", "/api/nothing"), None)
    handler.close()
    assert result["isBase64Encoded"] is False
    assert json.loads(result["body"])["status"] == 404


def test_an_error_for_a_response_that_is_too_large_has_the_form_of_the_response() -> None:
    """An envelope where the response was one, a problem document elsewhere; a response that fits is not changed."""
    event = http_api_event("GET", "/api/v1/cameras")
    too_large = {"statusCode": 200, "headers": {}, "isBase64Encoded": False}
    envelope = within_limit(too_large | {"body": '{"success": true, "data": "' + "x" * 7_000_000 + '"}'}, event)
    assert (envelope["statusCode"], envelope["headers"]["content-type"]) == (422, "application/json")
    body = json.loads(envelope["body"])
    assert body["error"]["code"] == "answer-too-large"
    assert body["meta"]["requestId"] == event["requestContext"]["requestId"]
    problem = within_limit(too_large | {"body": '{"events": "' + "x" * 7_000_000 + '"}'}, event)
    assert json.loads(problem["body"])["type"] == "urn:vedette:problem:answer-too-large"
    fits = too_large | {"body": '{"success": true}'}
    assert within_limit(fits, event) is fits


def test_cloud_16_a_base64_body_is_decoded(calls: ApiCalls) -> None:
    """API Gateway encodes bodies with a binary media type."""
    event = http_api_event("POST", "/api/events/delete", body="eyJsaW1pdCI6IDB9") | {"isBase64Encoded": True}
    answer = calls.invoke(event)
    assert answer.status == 422
    assert "limit" in answer.json()["detail"]


def test_documentation_pages_include_the_stage(calls: ApiCalls) -> None:
    """Behind the stage of a REST API, the redirect, the OpenAPI document and the pages use its prefix."""
    assert b'content="/prod"' in calls.call("GET", "/", headers={"Accept": "text/html"}).body
    assert calls.get("/openapi.json").json()["servers"] == [{"url": "/prod"}]
    assert b"/prod/openapi.json" in calls.get("/docs").body


def test_importing_the_handler_creates_no_application() -> None:
    """Importing the module reads no environment variable and opens no connection."""
    from cloud_functions.api import handler as module

    assert module.handler._adapter is None  # pyright: ignore[reportPrivateUsage]
