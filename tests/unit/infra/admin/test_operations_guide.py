"""What the operations guide prints exists: commands with their options, routes, and SQL."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg
import pytest

from cloud_functions.api.api_reference import api_document
from edge_agent.cli.parser import build_parser as agent_parser
from infra.admin.cli import build_parser as admin_parser
from infra.local.cli import build_parser as local_parser

GUIDE: Final = (Path(__file__).resolve().parents[4] / "docs/guide/operations.md").read_text(encoding="utf-8")
PARSERS: Final[dict[str, Callable[[], argparse.ArgumentParser]]] = {
    "vedette-admin": admin_parser,
    "vedette-local": local_parser,
    "edge-agent": agent_parser,
}


def _blocks(language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL))


def _commands() -> list[list[str]]:
    """Return the words of each of our commands in the shell blocks, and in the text where they have options."""
    lines = [*_blocks("sh").splitlines(), *re.findall(r"`((?:vedette-admin|edge-agent) [^`]* --[^`]+)`", GUIDE)]
    words = [shlex.split(part, comments=True) for line in lines for part in re.sub(r"\s#.*", "", line).split(";")]
    return [[Path(one[0]).name, *one[1:]] for one in words if one and Path(one[0]).name in PARSERS]


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_a_command_is_accepted(command: list[str]) -> None:
    """By the parser of the program."""
    PARSERS[command[0]]().parse_args(command[1:])


def test_the_symptoms_have_commands() -> None:
    """Each symptom begins with what to run, and the guide has the commands that the tests above find."""
    symptoms = GUIDE.partition("## Troubleshooting by symptom\n")[2].partition("### Other symptoms\n")[0]
    sections = re.split(r"^### ", symptoms, flags=re.MULTILINE)[1:]
    assert len(sections) >= 8
    assert [text.partition("\n")[0] for text in sections if "```sh\n" not in text] == []
    assert len(_commands()) > 10


def test_a_route_exists() -> None:
    """Each address after ``$API`` is a route that can be read, with parameters that it has."""
    paths = api_document()["paths"]
    called = re.findall(r"\$API(/[^\s\"?]+)(?:\?([^\s\"]+))?", _blocks("sh"))
    assert called
    for path, query in called:
        # The reference has each route once; the API also answers below /api/v1, and to /health.
        names = {path, path.replace("/api/v1/", "/api/"), f"/api{path}"}
        patterns = {
            one: re.sub(r"\{[^}]+\}", "[^/]+", one) for one in sorted(paths, key=lambda one: (one != path, "{" in one))
        }
        route = next(
            (one for one, pattern in patterns.items() if any(re.fullmatch(pattern, name) for name in names)), None
        )
        assert route is not None, path
        parameters = {parameter["name"] for parameter in paths[route]["get"].get("parameters", [])}
        assert {pair.partition("=")[0] for pair in query.split("&") if pair} <= parameters, path


def test_the_queries_run(database_url: str) -> None:
    """On a database of this release."""
    statements = [text for text in _blocks("sql").split(";") if text.strip()]
    assert len(statements) >= 2
    with psycopg.connect(database_url) as connection:
        for statement in statements:
            connection.execute(statement.encode())
