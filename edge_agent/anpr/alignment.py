"""Lays two texts side by side so that as many characters as possible meet their like."""

from __future__ import annotations

from dataclasses import dataclass

LOOK_ALIKE = tuple(
    frozenset(group) for group in ("0ODQ", "1IL7T", "8B3", "5S", "2Z", "6G", "4A", "VY", "UV", "MN", "CG")
)
_LIKE, _UNLIKE, _GAP = 0.6, 1.0, 1.0


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where a text's characters are, beside a reference."""

    matched: tuple[int | None, ...]
    """For each character of the reference the index of the text's character beside it; None where it has none."""
    inserted: tuple[tuple[int, ...], ...]
    """For each place before a character of the reference, and after the last, indices of characters that it lacks."""


def distance(one: str, other: str) -> float:
    """Return the least cost of turning one text into the other; characters that look alike cost less."""
    if one == other:
        return 0.0
    return _costs(one, other)[-1][-1]


def align(text: str, reference: str) -> Alignment:
    """Return the cheapest alignment of ``text`` with ``reference``."""
    if len(text) == len(reference) and sum(a != b for a, b in zip(text, reference, strict=True)) <= 1:
        return Alignment(tuple(range(len(text))), ((),) * (len(reference) + 1))
    costs = _costs(text, reference)
    matched: list[int | None] = [None] * len(reference)
    inserted: list[list[int]] = [[] for _ in range(len(reference) + 1)]
    row, column = len(text), len(reference)
    while row or column:
        here = costs[row][column]
        if row and column and here == costs[row - 1][column - 1] + _swap(text[row - 1], reference[column - 1]):
            row, column = row - 1, column - 1
            matched[column] = row
        elif column and here == costs[row][column - 1] + _GAP:
            column -= 1
        else:
            row -= 1
            inserted[column].insert(0, row)
    return Alignment(tuple(matched), tuple(tuple(indices) for indices in inserted))


def _costs(text: str, reference: str) -> list[list[float]]:
    rows = [[column * _GAP for column in range(len(reference) + 1)]]
    for index, char in enumerate(text, start=1):
        above, row = rows[-1], [index * _GAP]
        for column, other in enumerate(reference):
            row.append(min(above[column] + _swap(char, other), above[column + 1] + _GAP, row[column] + _GAP))
        rows.append(row)
    return rows


def _swap(one: str, other: str) -> float:
    if one == other:
        return 0.0
    return _LIKE if any(one in group and other in group for group in LOOK_ALIKE) else _UNLIKE
