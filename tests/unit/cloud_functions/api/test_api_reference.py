"""``docs/reference/api.md`` is generated from the OpenAPI document and complete."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_functions.api.api_reference import render
from cloud_functions.api.app import create_app
from cloud_functions.api.problem_types import PROBLEM_TYPES
from cloud_functions.api.security.permissions import PERMISSIONS
from tests.support.api_calls import lambda_api

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def page() -> str:
    """The generated page."""
    return render()


def test_the_committed_page_is_current(page: str) -> None:
    """``make schemas`` was run after the last change of a route, parameter, response or problem type."""
    assert (ROOT / "docs/reference/api.md").read_text(encoding="utf-8") == page, "run: make schemas"


def test_the_page_has_every_route_parameter_and_schema(page: str) -> None:
    """Each operation has a section; each parameter and each component schema is named."""
    _, dependencies = lambda_api()
    document = create_app(dependencies=dependencies).openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            section = page.partition(f"### `{method.upper()} {path}`\n")[2].partition("\n### ")[0]
            names = [parameter["name"] for parameter in operation.get("parameters", ())]
            assert section, f"{method} {path}"
            assert [name for name in names if f"| `{name}` |" not in section] == []
            assert [status for status in operation["responses"] if f"| {status} |" not in section] == []
    assert [name for name in document["components"]["schemas"] if f"### {name}\n" not in page] == []


def test_the_page_lists_permissions_and_problem_types(page: str) -> None:
    """Each row of both tables is on the page."""
    assert [name for name in (*PERMISSIONS, *PROBLEM_TYPES) if f"| `{name}` |" not in page] == []


def _problems_in_code() -> Iterator[tuple[int, str]]:
    for path in (ROOT / "cloud_functions/api").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Problem":
                status, kind = (getattr(argument, "value", None) for argument in node.args[:2])
                if isinstance(status, int) and isinstance(kind, str):
                    yield status, kind


def test_every_problem_in_the_code_is_in_the_table() -> None:
    """The type and status of each ``Problem`` that the API raises stand in ``PROBLEM_TYPES``."""
    problems = set(_problems_in_code())
    assert len(problems) > 15
    assert {(status, kind) for status, kind in problems if PROBLEM_TYPES[kind].status != status} == set()
