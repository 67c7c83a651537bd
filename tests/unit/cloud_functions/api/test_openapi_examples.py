"""Every route is documented with a summary, a tag, an example and its errors; and the examples are true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cloud_functions.api.app import create_app
from cloud_functions.api.openapi import TAGS
from cloud_functions.api.problem_types import PROBLEM_TYPES
from tests.support.api_calls import ApiCalls, filled_path, lambda_api

ROOT = Path(__file__).resolve().parents[4]


@cache
def _document() -> dict[str, Any]:
    handler, dependencies = lambda_api()
    handler.close()
    return create_app(dependencies=dependencies).openapi()


def _operations() -> list[Any]:
    found = [(method, path) for path, operations in _document()["paths"].items() for method in operations]
    return [pytest.param(method, path, id=f"{method.upper()} {path}") for method, path in found]


def _contents(operation: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return status (or ``body``), media type and content of each body of an operation."""
    bodies = [("body", operation.get("requestBody", {}))]
    bodies += list(operation["responses"].items())
    return [(name, kind, content) for name, body in bodies for kind, content in body.get("content", {}).items()]


@pytest.mark.parametrize(("method", "path"), _operations())
def test_a_route_is_documented(method: str, path: str) -> None:
    """Summary, description, a tag of the list, the errors that its parameters and permission imply, and examples."""
    operation = _document()["paths"][path][method]
    assert operation["summary"]
    assert len(operation["description"]) > 20
    assert set(operation["tags"]) <= {tag["name"] for tag in TAGS}
    statuses = set(operation["responses"])
    assert [status for status in statuses if status.startswith(("2", "3"))]
    expected = {"422"} if path != "/api/health" else set()
    expected |= {"401", "403"} if "x-permission" in operation else set()
    expected |= {"400", "413"} if "requestBody" in operation else set()
    assert expected - statuses == set()
    for parameter in operation.get("parameters", ()):
        assert parameter["in"] != "path" or "example" in parameter
    without = [(name, kind) for name, kind, content in _contents(operation) if not _has_example(kind, content)]
    assert without == []


def _has_example(kind: str, content: dict[str, Any]) -> bool:
    return "example" in content or "examples" in content or kind.startswith(("image/", "multipart/"))


@pytest.mark.parametrize(("method", "path"), _operations())
def test_an_example_satisfies_its_schema(method: str, path: str) -> None:
    """Of each request and response in JSON."""
    document = _document()
    checker = jsonschema.FormatChecker()
    for name, kind, content in _contents(document["paths"][path][method]):
        if "json" in kind and "example" in content and "schema" in content and kind != "application/x-ndjson":
            schema = {**content["schema"], "components": document["components"]}
            errors = jsonschema.Draft202012Validator(schema, format_checker=checker).iter_errors(content["example"])
            assert [f"{name} {kind} {list(error.absolute_path)}: {error.message}" for error in errors] == []


@pytest.mark.parametrize(("method", "path"), _operations())
def test_the_problem_in_an_example_exists(method: str, path: str) -> None:
    """It is one of the table, with the status of the response."""
    for status, kind, content in _contents(_document()["paths"][path][method]):
        example = content.get("example", {})
        if status[0] in "45" and "json" in kind and not {"error", "type"}.isdisjoint(example):
            code = example["error"]["code"] if "error" in example else example["type"].rsplit(":", 1)[1]
            assert PROBLEM_TYPES[code].status == int(status), code


@pytest.mark.parametrize(
    ("method", "path"),
    [one for one in _operations() if "requestBody" in _document()["paths"][one.values[1]][one.values[0]]],
)
def test_the_api_accepts_the_example_of_a_request(method: str, path: str, api: ApiCalls) -> None:
    """Nothing in it is invalid; without a database it gets no further than that."""
    operation = _document()["paths"][path][method]
    content = operation["requestBody"]["content"].get("application/json")
    assert content is not None
    examples = [one["value"] for one in content.get("examples", {}).values()] or [content["example"]]
    for example in examples:
        answer = api.call(method.upper(), filled_path(path), body=json.dumps(example))
        assert answer.status not in {400, 422}, answer.body


def test_the_command_prints_the_document_without_any_service() -> None:
    """No variable is needed either."""
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "PYTHONPATH"}}
    command = [sys.executable, "-m", "cloud_functions.api.openapi"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=120)
    assert json.loads(done.stdout) == _document()
