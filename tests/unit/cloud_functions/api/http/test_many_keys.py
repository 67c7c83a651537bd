"""JSON bodies with more keys than any request needs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cloud_functions.api.http.strict_route import MAX_KEYS, MAX_KEYS_OF_BODY
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


def test_many_objects_with_many_keys_are_rejected_as_a_whole(api: ApiCalls) -> None:
    """As many as the largest request needs are read."""
    item = {"kind": "exact", "pattern": "AB", "max_distance": None, "site_id": None, "reason": None, "expires_at": None}
    path = "/api/plates/watchlists/1/patterns"
    most = {"patterns": [item] * 10_000}
    assert b"keys" not in api.call("POST", path, body=json.dumps(most)).body
    too_many = {"patterns": [{f"k{number}": 1 for number in range(MAX_KEYS)}] * (MAX_KEYS_OF_BODY // MAX_KEYS + 1)}
    answer = api.call("POST", path, body=json.dumps(too_many))
    assert (answer.status, b"more than 100000 keys" in answer.body) == (422, True)
