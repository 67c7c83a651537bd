"""The Lambda handler on the events that API Gateway sends."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.api_calls import AWS_EVENTS, ApiCalls, http_api_event, lambda_api


@pytest.fixture
def calls() -> Iterator[ApiCalls]:
    """A client of an application without a database, behind a stage called prod."""
    handler, _ = lambda_api(root_path="/prod")
    yield ApiCalls(handler)
    handler.close()


@pytest.mark.parametrize("name", ["apigw_http_v2_list_events", "apigw_rest_v1_list_events"])
def test_cloud_16_both_kinds_of_gateway_reach_the_route(calls: ApiCalls, name: str) -> None:
    """Payload 2.0 and REST 1.0 carry path and query to the same place: only the database is missing."""
    event = json.loads((AWS_EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    assert calls.invoke(event).status == 503
    if "rawQueryString" in event:
        event["rawQueryString"] = "page=0"
    else:
        event["multiValueQueryStringParameters"] = {"page": ["0"]}
    answer = calls.invoke(event)
    assert answer.status == 422
    assert answer.json()["errors"][0]["parameter"] == "page"


def test_problems_and_json_travel_as_text() -> None:
    """A REST API without binary types would hand base64 text to the client as it is."""
    handler, _ = lambda_api()
    result = handler(http_api_event("GET", "/api/nothing"), None)
    handler.close()
    assert result["isBase64Encoded"] is False
    assert json.loads(result["body"])["status"] == 404


def test_cloud_16_a_body_may_come_in_base64(calls: ApiCalls) -> None:
    """API Gateway encodes bodies whose type it takes for binary."""
    event = http_api_event("POST", "/api/events/delete", body="eyJsaW1pdCI6IDB9") | {"isBase64Encoded": True}
    answer = calls.invoke(event)
    assert answer.status == 422
    assert "limit" in answer.json()["detail"]


def test_the_stage_is_part_of_the_addresses_in_the_pages(calls: ApiCalls) -> None:
    """Behind a REST API's stage the description says so, and the pages load from there."""
    assert calls.get("/").headers["location"] == "/prod/docs"
    assert calls.get("/openapi.json").json()["servers"] == [{"url": "/prod"}]
    assert b"/prod/openapi.json" in calls.get("/docs").body


def test_importing_the_handler_builds_nothing() -> None:
    """The module may be imported anywhere: no environment is read and nothing opened before the first call."""
    from cloud_functions.api import handler as module

    assert module.handler._adapter is None
