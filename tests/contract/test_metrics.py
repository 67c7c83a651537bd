"""The metrics' table, and the pages, dashboard and rules that follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from shared.metrics.reference import render

ROOT: Final = Path(__file__).resolve().parents[2]


def test_the_reference_page_is_up_to_date() -> None:
    """`make schemas` renews it."""
    assert (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8") == render()
