"""Every error response is a problem document."""

from __future__ import annotations

import logging

import pytest
from fastapi import FastAPI

from cloud_functions.api.handler import ApiHandler
from cloud_functions.api.http.problems import PROBLEM_MEDIA_TYPE, Problem, install_error_handlers
from shared.errors import ConfigurationError, TransientError, VedetteError
from tests.support.api_calls import Answer, ApiCalls, http_api_event

SECRET = "postgresql://vedette:hunter2@db/vedette SELECT * FROM users"


def _answer_to(error: Exception) -> Answer:
    app = FastAPI()
    install_error_handlers(app)

    async def fail() -> None:
        raise error

    app.add_api_route("/fails", fail)
    handler = ApiHandler(make_app=lambda: app)
    try:
        return ApiCalls(handler).get("/fails")
    finally:
        handler.close()


def test_an_unknown_path_is_a_404(api: ApiCalls) -> None:
    """The problem has a stable type and names the documentation."""
    answer = api.get("/api/nothing")
    assert answer.status == 404
    assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert answer.json() == {
        "type": "urn:vedette:problem:not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "This path does not exist. /docs lists all paths.",
        "instance": "/api/nothing",
        "request_id": answer.headers["x-request-id"],
    }


def test_an_unsupported_method_is_a_405(api: ApiCalls) -> None:
    """``Allow`` lists the supported methods."""
    answer = api.call("PUT", "/api/events/stats")
    assert answer.status == 405
    assert answer.json()["type"] == "urn:vedette:problem:method-not-allowed"
    assert "GET" in answer.headers["allow"]


def test_an_unavailable_database_is_a_503_with_retry_after(api: ApiCalls) -> None:
    """The response has ``Retry-After`` and does not reveal the address of the database."""
    answer = api.get("/api/events")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["type"] == "urn:vedette:problem:unavailable"


@pytest.mark.parametrize(
    "error", [RuntimeError(SECRET), ConfigurationError(SECRET), VedetteError(SECRET), KeyError("x")]
)
def test_an_unexpected_error_is_logged_but_not_returned(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The response is a 500 without traceback, SQL or connection string. The log has all of them."""
    caplog.set_level(logging.ERROR)
    answer = _answer_to(error)
    assert answer.status == 500
    assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert answer.json()["type"] == "urn:vedette:problem:internal-error"
    assert b"hunter2" not in answer.body
    assert b"Traceback" not in answer.body
    assert "Traceback" in caplog.text


def test_the_text_of_a_transient_error_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The text may contain host names, so the client gets only ``Retry-After``."""
    answer = _answer_to(TransientError("the database db-1.internal is away"))
    assert answer.status == 503
    assert b"db-1" not in answer.body
    assert "db-1.internal" in caplog.text


def test_a_problem_keeps_its_status_type_detail_and_headers() -> None:
    """A route chooses all parts of a ``Problem``."""
    answer = _answer_to(Problem(409, "in-use", "It is in use.", headers={"Retry-After": "7"}))
    assert (answer.status, answer.headers["retry-after"]) == (409, "7")
    assert answer.json()["type"] == "urn:vedette:problem:in-use"
    assert answer.json()["title"] == "Conflict"


@pytest.mark.parametrize(
    ("media_type", "said"),
    [
        ("application/json", "must be a JSON object"),
        ("Application/JSON; charset=utf-8", "must be a JSON object"),
        ("application/x-www-form-urlencoded", "must be JSON, sent with the header Content-Type: application/json"),
        (None, "must be JSON, sent with the header Content-Type: application/json"),
    ],
)
def test_the_error_for_a_non_object_body_names_the_content_type(
    api: ApiCalls, media_type: str | None, said: str
) -> None:
    """A client that omitted the content type, as ``curl -d`` does, learns to send it."""
    event = http_api_event("POST", "/api/plates/watchlists", body='["staff"]')
    event["headers"].pop("content-type")
    event["headers"] |= {} if media_type is None else {"content-type": media_type}
    answer = api.invoke(event)
    assert answer.status == 422
    assert answer.json()["errors"] == [{"parameter": "body", "location": "body", "message": said}]


def test_every_invalid_parameter_is_listed(api: ApiCalls) -> None:
    """A client can correct all errors at once."""
    answer = api.get("/api/events", page="0", page_size="9999", event_type="nonsense")
    assert answer.status == 422
    assert {(error["parameter"], error["location"]) for error in answer.json()["errors"]} == {
        ("page", "query"),
        ("page_size", "query"),
        ("event_type", "query"),
    }
    assert "nonsense" not in answer.json()["detail"]
