"""The import rules that import-linter cannot express, and the shape of the folders."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("shared", "edge_agent", "cloud_functions", "infra")
HALVES: Final = ("edge_agent", "cloud_functions", "infra.local")
"""Packages whose top layers CONTRIBUTING.md shows; contracts of inner folders are only in pyproject.toml."""
NETWORK_CLIENTS: Final = {"boto3", "botocore", "paho"}
NETWORK_FOLDER: Final = "edge_agent/transport/"
LARGEST_FOLDER: Final = 12
LARGE_ON_ONE_SUBJECT: Final = {
    "cloud_functions/db/migrations/versions": "one file for each database revision",
    "edge_agent/detect": "from a frame to detections: when the detector runs, on which part, and which results count",
    "edge_agent/motion": "from brightness planes to moving regions: the background, and each kind of change to reject",
    "edge_agent/outbox": "one SQLite file: its tables, its limits, and what is taken out of it",
    "edge_agent/transport": "delivery of the outbox to the broker and the image store",
    "edge_agent/events/rules": "one file for each rule, and the state that rules share",
    "cloud_functions/ingest": "one file for each step of a batch, and the state that steps share",
    "infra/local/aws": "one file for each AWS service, and the parts that they share",
    "cloud_functions/maintenance/tasks": "one file for each task, or each group of its steps",
    "infra/client/vedette/client": "one file for each resource of the API, and the session that they share",
    "shared": "the contract: one file for each kind of message, name or identifier",
}
"""Folders with more than a dozen modules, and their one subject."""


def _tracked(*suffixes: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if name.endswith(suffixes) and (ROOT / name).is_file()]


def _imported(text: str) -> Iterator[str]:
    """Yield the top-level package of every import, including those inside functions."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_only_transport_imports_network_clients_on_the_edge() -> None:
    """Only modules in edge_agent/transport import boto3, botocore or paho; new folders are covered by default."""
    clients_by_module = {
        name: sorted(NETWORK_CLIENTS & set(_imported((ROOT / name).read_text(encoding="utf-8"))))
        for name in _tracked(".py")
        if name.startswith("edge_agent/") and not name.startswith(NETWORK_FOLDER)
    }
    assert {name: clients for name, clients in clients_by_module.items() if clients} == {}


@pytest.mark.parametrize(
    "text", ["import boto3", "from paho.mqtt import client", "def f():\n    from botocore.config import Config"]
)
def test_imports_of_network_clients_are_found(text: str) -> None:
    """Plain imports, imports of a part, and imports inside a function."""
    assert NETWORK_CLIENTS & set(_imported(text))


def test_every_folder_describes_itself() -> None:
    """Each folder with Python modules has an ``__init__.py`` whose docstring says what belongs there."""
    folders = {str(Path(name).parent) for name in _tracked(".py")}
    undescribed = [
        folder
        for folder in sorted(folders)
        if not (ROOT / folder / "__init__.py").is_file()
        or not ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text(encoding="utf-8")))
    ]
    assert undescribed == []


def test_large_folders_are_about_one_subject() -> None:
    """A folder with more than a dozen modules is listed with its one subject."""
    modules = Counter(str(Path(name).parent) for name in _tracked(".py") if not name.endswith("__init__.py"))
    large = {folder for folder, count in modules.items() if count > LARGEST_FOLDER}
    assert large - set(LARGE_ON_ONE_SUBJECT) == set()
    assert [folder for folder in LARGE_ON_ONE_SUBJECT if not (ROOT / folder).is_dir()] == []


def layer_lines(contract: dict[str, Any]) -> list[str]:
    """Return one line for each layer of an import-linter contract, top layer first."""
    lines: list[str] = []
    for layer in contract["layers"]:
        names = [name.strip().rpartition(".")[2] for name in layer.split("|")]
        lines.append(" · ".join(names))
    return lines


def test_the_layer_diagram_shows_the_contracts() -> None:
    """CONTRIBUTING.md shows the layers of pyproject.toml, in the same order."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    contracts = [contract for contract in linter["contracts"] if contract["type"] == "layers"]
    halves = [contract for contract in contracts if contract["layers"][0].split(" ")[0].rpartition(".")[0] in HALVES]
    assert len(halves) >= len(HALVES)
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for contract in halves:
        assert "\n".join(layer_lines(contract)) in page, f"the layers of {contract['name']!r} in CONTRIBUTING.md differ"


def test_every_skip_gives_its_reason() -> None:
    """``pytest.skip`` and ``skipif`` have a non-empty reason, and there is no unconditional ``skip`` mark."""
    listed = subprocess.run(["git", "ls-files", "tests"], cwd=ROOT, capture_output=True, text=True, check=True)
    silent: list[str] = []
    for name in listed.stdout.splitlines():
        if name.endswith(".py") and (ROOT / name).is_file():
            silent += [f"{name}:{line}" for line in _skips_without_reason((ROOT / name).read_text(encoding="utf-8"))]
    assert silent == []


def _skips_without_reason(text: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        called = ast.unparse(node.func)
        reason = any(keyword.arg == "reason" for keyword in node.keywords)
        allowed = {"pytest.skip": reason or bool(node.args), "pytest.mark.skipif": reason, "pytest.mark.skip": False}
        if not allowed.get(called, True):
            yield node.lineno
