"""Random requests of each role: every response is one that the OpenAPI document allows, and that the role may get.

The requests are made from the document: allowed values, and values that are not. No response is a 5xx, each status and
media type is documented, each JSON body has the documented schema, and no caller gets past its role or its camera
groups. ``VEDETTE_RANDOM_REQUESTS=5000`` tries more; ``make fuzz`` runs Schemathesis against a server.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api_calls import Answer
from tests.support.backing_services import PostgresFixture
from tests.support.camera_groups import FOREIGN_MARKS
from tests.support.permission_matrix import Matrix, Route, object_values, refusal
from tests.support.schema_values import HOSTILE, bodies, parameter_texts

REQUESTS: Final = int(os.environ.get("VEDETTE_RANDOM_REQUESTS", "150"))
CALLERS: Final = ["admin", "operator", "viewer", "limited admin", "limited operator", "nobody"]
UNCHECKED: Final = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
_JSON: Final = ("application/json", "application/problem+json")
_REJECTED: Final = {400, 404, 405, 413, 422}
"""Responses that a request can get before its caller is checked."""


@pytest.fixture(scope="module")
def matrix(postgres: PostgresFixture) -> Iterator[Matrix]:
    """An application on a database with two groups, and credentials of every kind."""
    postgres.start()
    name = postgres.new_database()
    made = Matrix(postgres.server.url_of(name))
    yield made
    made.close()
    postgres.server.drop_database(name)


class Request:
    """One request to an operation of the document."""

    def __init__(self, route: Route, path: str, parameters: dict[str, str], body: Any, *, has_body: bool) -> None:
        self.route = route
        self.path = path
        self.parameters = parameters
        self.body = json.dumps(body) if has_body else None

    def __repr__(self) -> str:
        return f"{self.route.method} {self.path} {self.parameters} {self.body}"

    @property
    def text(self) -> str:
        return repr(self).lower()


def _requests(matrix: Matrix) -> st.SearchStrategy[Request]:
    document = matrix.app.openapi()
    operations = [
        _of_operation(matrix, route, document["paths"][route.path][route.method.lower()], document)
        for route in (*matrix.routes, *matrix.public)
        if route.method.lower() in document["paths"].get(route.path, {})
    ]
    return st.one_of(operations)


def _of_operation(
    matrix: Matrix, route: Route, operation: Mapping[str, Any], document: Mapping[str, Any]
) -> st.SearchStrategy[Request]:
    schemas = document["components"]["schemas"]
    parameters = operation.get("parameters", [])
    names = {one["name"]: parameter_texts(one["schema"], schemas) for one in parameters if one["in"] == "query"}
    known = [object_values(matrix.objects, side) for side in (matrix.objects.own, matrix.objects.foreign)]
    hostile = HOSTILE.filter(_is_segment)
    placeholders = {
        name: st.one_of(st.sampled_from([values[name] for values in known]), hostile) for name in route.placeholders
    }
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    body = st.none() if content is None else bodies(content["schema"], schemas)
    return st.builds(
        lambda path, query, value: Request(route, path, query, value, has_body=content is not None),
        st.fixed_dictionaries(placeholders).map(lambda values: _path(route, values)),
        st.fixed_dictionaries({}, optional=names),
        body,
    )


def _is_segment(text: str) -> bool:
    """Return whether a path with this text has the same number of segments."""
    return bool(text) and "/" not in text


def _path(route: Route, values: Mapping[str, str]) -> str:
    return route.path.format_map({name: quote(text, safe="") for name, text in values.items()})


@pytest.mark.xdist_group("random_requests")
@pytest.mark.parametrize("name", CALLERS)
def test_every_response_is_documented_and_within_the_role(matrix: Matrix, name: str) -> None:
    """The document, the permissions and the limit to camera groups hold for requests that nobody thought of."""
    caller = matrix.caller(name)
    document = matrix.app.openapi()

    @cache
    def validator(path: str, method: str, status: str) -> Any:
        content = document["paths"][path][method]["responses"][status].get("content", {})
        schema = content.get("application/json", content.get("application/problem+json", {})).get("schema", {})
        return jsonschema.Draft202012Validator({**schema, "components": document["components"]})

    @settings(max_examples=REQUESTS, deadline=None, database=None, suppress_health_check=UNCHECKED)
    @given(request=_requests(matrix))
    def send(request: Request) -> None:
        answer = matrix.send(caller, request.route.method, request.path, request.parameters, request.body)
        assert answer.status < 500, (request, answer)
        route = request.route
        operation = document["paths"][route.path][route.method.lower()]
        assert str(answer.status) in operation["responses"], (request, answer)
        _check_content(answer, operation["responses"][str(answer.status)], request)
        if answer.headers.get("content-type", "").partition(";")[0] in _JSON:
            validator(route.path, route.method.lower(), str(answer.status)).validate(answer.json())
        refused = refusal(caller, route) if route.permission is not None else None
        if refused is not None:
            assert answer.status in _REJECTED or (answer.status, answer.error().code) == refused, (request, answer)
        elif caller.limited and answer.status < 300 and not any(mark in request.text for mark in FOREIGN_MARKS):
            text = answer.body.decode("utf-8", "replace").lower()
            assert not any(mark in text for mark in FOREIGN_MARKS), (request, answer)

    send()


def _check_content(answer: Answer, documented: Mapping[str, Any], request: Request) -> None:
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    if answer.body and "content" in documented:
        assert media_type in documented["content"], (request, answer)
