"""The size of the import graphs: direct sub-packages and top-level modules, and the imports between them."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]


class Limits(NamedTuple):
    """The largest number of nodes and of edges of one graph."""

    nodes: int
    edges: int


LIMITS: Final = {
    "edge_agent": Limits(nodes=20, edges=60),
    "infra/local": Limits(nodes=12, edges=20),
}
LAYERED: Final = (*LIMITS, "cloud_functions")
"""Packages whose nodes are all in a layers contract of pyproject.toml."""


def graph_of(package: str, *, root: Path = ROOT) -> dict[str, set[str]]:
    """Return what each node of a package imports of the other nodes.

    A node is a direct sub-package with all modules in it, or a top-level module. Imports inside functions and under
    ``TYPE_CHECKING`` count.
    """
    folder, prefix = root / package, package.replace("/", ".")
    graph = {node: set[str]() for node in _nodes(folder)}
    for path in folder.rglob("*.py"):
        node = path.relative_to(folder).parts[0].removesuffix(".py")
        if node in graph:
            text = path.read_text(encoding="utf-8")
            graph[node] |= set(_imported_nodes(text, prefix, graph)) - {node}
    return graph


def _nodes(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        if (path / "__init__.py").is_file() or (path.suffix == ".py" and path.stem != "__init__"):
            yield path.stem


def _imported_nodes(text: str, prefix: str, nodes: dict[str, set[str]]) -> Iterator[str]:
    for statement in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            assert not statement.level, "relative imports are not resolved here"
            names = [f"{statement.module}.{alias.name}" for alias in statement.names]
        for name in names:
            node = name.removeprefix(f"{prefix}.").split(".")[0] if name.startswith(f"{prefix}.") else ""
            if node in nodes:
                yield node


def edges_of(graph: dict[str, set[str]]) -> list[str]:
    """Return the edges of a graph as text, sorted."""
    return sorted(f"{node} -> {imported}" for node, imports in graph.items() for imported in imports)


@pytest.mark.parametrize("package", LIMITS)
def test_graph_stays_within_its_limits(package: str) -> None:
    """A package has at most so many nodes and so many edges between them."""
    graph = graph_of(package)
    edges = edges_of(graph)
    assert len(edges) > len(graph) > 5, "the graph is not complete"
    assert len(graph) <= LIMITS[package].nodes
    assert len(edges) <= LIMITS[package].edges, "\n".join(edges)


PACKAGES: Final = sorted(
    path.parent.relative_to(ROOT).as_posix()
    for top in ("shared", "edge_agent", "cloud_functions", "infra", "training")
    for path in (ROOT / top).rglob("__init__.py")
)


@pytest.mark.parametrize("package", PACKAGES)
def test_graph_has_no_cycle(package: str) -> None:
    """The nodes of every package can be ordered so that each imports earlier ones only."""
    TopologicalSorter(graph_of(package)).prepare()


def test_a_cycle_of_folders_is_found(tmp_path: Path) -> None:
    """A cycle of two folders is an error even if no two modules import each other."""
    for name, text in {
        "__init__.py": "",
        "a/__init__.py": "",
        "a/one.py": "from house.b import two\n",
        "a/three.py": "",
        "b/__init__.py": "",
        "b/two.py": "from house.a.three import thing\n",
    }.items():
        (tmp_path / "house" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "house" / name).write_text(text, encoding="utf-8")
    with pytest.raises(CycleError):
        TopologicalSorter(graph_of("house", root=tmp_path)).prepare()


@pytest.mark.parametrize("package", LAYERED)
def test_every_node_has_a_layer(package: str) -> None:
    """A new sub-package or module cannot be outside the layers contract of its package."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layered = {
        module.strip().rpartition(".")[2]
        for contract in linter["contracts"]
        if contract["type"] == "layers"
        for layer in contract["layers"]
        for module in layer.split("|")
        if module.strip().rpartition(".")[0] == package.replace("/", ".")
    }
    assert set(graph_of(package)) == layered


def test_graph_counts_imports_in_functions_and_for_type_checking(tmp_path: Path) -> None:
    """Every way to import another node is one edge, and imports within a node are none."""
    (tmp_path / "house" / "cellar").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "attic.py": "def f():\n    from house.cellar.wine import red\n",
        "garden.py": "if TYPE_CHECKING:\n    import house.attic\nfrom house import cellar\n",
        "cellar/__init__.py": "from house.cellar.wine import red\nimport housekeeping\n",
        "cellar/wine.py": "red = 1\n",
    }
    for name, text in files.items():
        (tmp_path / "house" / name).write_text(text, encoding="utf-8")
    graph = graph_of("house", root=tmp_path)
    assert edges_of(graph) == ["attic -> cellar", "garden -> attic", "garden -> cellar"]
