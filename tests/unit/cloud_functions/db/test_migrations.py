"""Migrations do not depend on modules that change with the schema."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cloud_functions.db.migrate import MIGRATIONS

STABLE = (
    "cloud_functions.db.migrations",
    "cloud_functions.plates",  # the text of plates; it knows no table
    "shared",
)


@pytest.mark.parametrize("path", sorted((MIGRATIONS / "versions").glob("r*.py")), ids=lambda path: path.stem)
def test_a_migration_imports_no_module_that_knows_the_current_schema(path: Path) -> None:
    """A released migration contains its own SQL, so that a later change of the schema cannot break it."""
    imported = [
        node.module or ""
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    ]
    own = [name for name in imported if name.split(".")[0] in ("cloud_functions", "edge_agent", "infra", "shared")]
    assert "cloud_functions.db.migrations.plain_sql" in own
    assert [name for name in own if not name.startswith(STABLE)] == []
