"""Cells of CSV files. Text that a spreadsheet would run as a formula is marked when written and unmarked when read."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable
from typing import Final

_MARK: Final = "'"
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_SKIPPED_CATEGORIES: Final = ("Cc", "Cf", "Zs", "Zl", "Zp")
"""Unicode categories that a spreadsheet skips at the start of a cell: control, format and space characters."""


def csv_line(cells: Iterable[object]) -> str:
    """Return one line of CSV. Every text cell is safe to open in a spreadsheet."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([safe_cell(cell) for cell in cells])
    return out.getvalue()


def safe_cell(cell: object) -> object:
    """Return a cell; one that a spreadsheet would run as a formula gets an apostrophe before it."""
    if not isinstance(cell, str) or not cell or cell[0].isalnum() or cell[0] == "{":
        return cell
    return f"{_MARK}{cell}" if _needs_mark(cell) else cell


def original_cell(cell: str) -> str:
    """Return the text from which ``safe_cell`` made this cell."""
    return cell[1:] if cell.startswith(_MARK) and _needs_mark(cell[1:]) else cell


def _needs_mark(text: str) -> bool:
    # A text that is marked already gets a second mark; otherwise reading would take away its own.
    text = text.lstrip(_MARK)
    return bool(text) and (text.startswith(_FORMULA_STARTS) or _first_visible(text) in _FORMULA_STARTS)


def _first_visible(text: str) -> str:
    """Return the first character that a spreadsheet evaluates, in its compatibility form (``＝`` becomes ``=``)."""
    visible = (char for char in text if unicodedata.category(char) not in _SKIPPED_CATEGORIES)
    return unicodedata.normalize("NFKC", next(visible, ""))[:1]
