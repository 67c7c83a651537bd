"""JSON bodies with more keys than any request needs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cloud_functions.api.http.strict_route import MAX_KEYS
from tests.support.api_calls import ApiCalls, lambda_api


@pytest.fixture(scope="module")
def api() -> Iterator[ApiCalls]:
    """A client of an application without a database."""
    handler, dependencies = lambda_api()
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


@pytest.mark.parametrize("path", ["/api/auth/login-json", "/api/v1/auth/login", "/api/events/delete"])
def test_an_object_with_a_great_many_keys_is_rejected_as_a_whole(api: ApiCalls, path: str) -> None:
    """Else a body of 6 MB takes the server half a minute, and the first two paths need no credentials."""
    for body in ({f"k{number}": 1 for number in range(MAX_KEYS + 1)}, {"k": {f"{n}": 1 for n in range(MAX_KEYS + 1)}}):
        answer = api.call("POST", path, body=json.dumps(body))
        assert answer.status == 422, answer
        assert f"more than {MAX_KEYS} keys".encode() in answer.body
        assert b"unknown parameter" not in answer.body
