"""Each request has one id: in its response, its problem, and its log lines."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from fastapi import FastAPI

from cloud_functions.api.handler import ApiHandler
from cloud_functions.api.http.request_ids import RequestIdFilter
from cloud_functions.observability import JsonFormatter, configure_server_logging
from shared.errors import ConfigurationError
from shared.ids import is_uuid
from tests.support.api_calls import Answer, ApiCalls, http_api_event, lambda_api


def test_a_well_formed_id_of_the_client_is_taken(api: ApiCalls) -> None:
    """It is in the header and in the problem, so that client and server find the same request."""
    answer = api.call("GET", "/api/nothing", headers={"x-request-id": "order-42:a/b"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "order-42:a/b"


@pytest.mark.parametrize("given", ["", "a b", 'a"b', "a\tb", "x" * 129, "ümlaut", "a\\nb"])
def test_any_other_id_is_replaced(api: ApiCalls, given: str) -> None:
    """It could forge a log line. API Gateway's id takes its place."""
    event = http_api_event("GET", "/api/events/abc", headers={"x-request-id": given})
    answer = api.invoke(event)
    assert answer.headers["x-request-id"] == event["requestContext"]["requestId"]


def test_without_a_gateway_an_id_is_generated(api: ApiCalls) -> None:
    """Two requests have different ones."""
    event = http_api_event("GET", "/")
    del event["requestContext"]["requestId"]
    ids = [api.invoke(event).headers["x-request-id"] for _ in range(2)]
    assert all(map(is_uuid, ids))
    assert ids[0] != ids[1]


def test_the_envelope_has_the_same_id(api: ApiCalls) -> None:
    """In ``meta``."""
    answer = api.call("GET", "/api/cameras", {"nonsense": 1}, headers={"x-request-id": "mine"})
    assert answer.json()["meta"]["requestId"] == answer.headers["x-request-id"] == "mine"


def _failing_app() -> FastAPI:
    from cloud_functions.api.app import create_app

    handler, dependencies = lambda_api()
    handler.close()
    app = create_app(dependencies=dependencies)

    async def fail(plate: str, q: str) -> Any:
        logging.getLogger("cloud_functions.test").warning("about to fail")
        raise RuntimeError("of the test")

    app.add_api_route("/plates/{plate}", fail)
    return app


def _call(app: FastAPI, stream: io.StringIO, formatter: logging.Formatter) -> Answer:
    """Call the failing route with a handler as ``configure_server_logging`` installs it."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(RequestIdFilter())
    logger = logging.getLogger("cloud_functions")
    level, _ = logger.level, logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    api_handler = ApiHandler(make_app=lambda: app)
    try:
        headers = {"x-request-id": "mine", "authorization": "Bearer hunter2"}
        return ApiCalls(api_handler).call("GET", "/plates/SECRET42", {"q": "private"}, headers=headers)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        api_handler.close()


def test_every_log_line_of_a_request_has_its_id() -> None:
    """Also the line of an unexpected error. No line has the path, the query or the credentials."""
    stream = io.StringIO()
    answer = _call(_failing_app(), stream, JsonFormatter())
    assert (answer.status, answer.headers["x-request-id"], answer.json()["request_id"]) == (500, "mine", "mine")
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [record["request_id"] for record in records[:2]] == ["mine", "mine"]
    assert "request mine" in records[2]["message"]
    assert "RuntimeError: of the test" in records[2]["exception"]
    messages = [record["message"] for record in records]
    assert messages[0] == "about to fail"
    assert messages[1].startswith("GET /plates/{plate}: 500 in ")
    for secret in ("SECRET42", "private", "hunter2"):
        assert secret not in "".join(messages)
    assert all(record["timestamp"].endswith("+00:00") and record["level"] for record in records)


def test_the_format_of_a_server_is_text_or_json() -> None:
    """A new process logs to stderr in the chosen format, and only one handler is installed."""
    program = """
import logging
from cloud_functions.api.http.request_ids import RequestIdFilter
from cloud_functions.observability import configure_server_logging
for log_format in ("{0}", "text"):
    configure_server_logging(log_format=log_format, level="info", filters=[RequestIdFilter()])
logging.getLogger("of.the.test").info("hello")
logging.getLogger("botocore").info("a secret")
"""
    shown = {
        log_format: subprocess.run(
            [sys.executable, "-c", program.replace("{0}", log_format)], capture_output=True, text=True, check=True
        ).stderr
        for log_format in ("text", "json")
    }
    assert shown["text"].endswith(" INFO of.the.test hello (request -)\n")
    record = json.loads(shown["json"])
    assert (record["level"], record["logger"], record["message"], record["request_id"]) == (
        "INFO", "of.the.test", "hello", "-",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("log_format", "level", "named"), [("xml", "INFO", "LOG_FORMAT"), ("text", "LOUD", "LOG_LEVEL")]
)
def test_a_wrong_setting_of_logging_is_reported(log_format: str, level: str, named: str) -> None:
    """The error names the variable."""
    with pytest.raises(ConfigurationError, match=named):
        configure_server_logging(log_format=log_format, level=level)
