"""CSV cells: safe in a spreadsheet, and the same text again when they are read."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.api.files.csv_cells import csv_line, original_cell, safe_cell

TEXTS = st.one_of(st.text(), st.from_regex(r"\A[' =+@\t＝-]{0,4}\w*\Z"))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u200b=1", "＝1", "'=1", "''=1", "\u00a0+1"]
)
def test_a_formula_is_marked(text: str) -> None:
    """Whatever stands before it that a spreadsheet skips."""
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Gate", "'quoted'", "10 %", '{"a": "=1"}', "a=b", 7, None, 1.5])
def test_an_ordinary_cell_is_not_changed(text: object) -> None:
    """Texts, numbers and JSON objects."""
    assert safe_cell(text) == text


@given(TEXTS)
def test_a_cell_is_read_as_it_was_written(text: str) -> None:
    """Marked or not, and however often."""
    assert original_cell(str(safe_cell(text))) == text


@given(st.lists(TEXTS.filter(lambda text: "\0" not in text), min_size=1, max_size=5))
def test_a_line_is_read_as_it_was_written(texts: list[str]) -> None:
    """Quotes, separators and line ends within cells included; no cell begins a formula."""
    [row] = list(csv.reader(io.StringIO(csv_line(texts), newline=""), strict=True))
    assert [original_cell(cell) for cell in row] == texts
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
