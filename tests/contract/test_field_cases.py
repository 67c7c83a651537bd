"""Every case in docs/design/field-cases.md has a test with its name, and every such test has a row."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "design" / "field-cases.md"
TEST_NAME = re.compile(r"^def test_((?:edge_[0-9]{2})|(?:cloud_(?:[abc][0-9]{1,2}|[0-9]{2})))_", re.MULTILINE)


def _rows() -> list[str]:
    return re.findall(r"^\| `([a-z0-9_]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def _tested() -> set[str]:
    return {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in TEST_NAME.findall(path.read_text(encoding="utf-8"))
    }


def test_every_case_has_a_test_and_every_test_a_row() -> None:
    """A case without tests, and a test without a row on the page, are errors."""
    rows = _rows()
    assert len(rows) == len(set(rows))
    assert sorted(set(rows) - _tested()) == []
    assert sorted(_tested() - set(rows)) == []
