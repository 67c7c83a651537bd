"""Aligns two sequences of characters at minimum cost (Needleman and Wunsch 1970)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat

SIMILAR_CHARACTERS = tuple(
    frozenset(group) for group in ("0ODQ", "1IL7T", "8B3", "5S", "2Z", "6G", "4A", "VY", "UV", "MN", "CG")
)
_LIKE, _UNLIKE, _GAP = 0.6, 1.0, 1.0

Swaps = Sequence[Sequence[float]]
"""Cost of matching each element of the first sequence (rows) with each of the second (columns)."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Positions of a text's characters relative to a reference."""

    matched: tuple[int | None, ...]
    """For each character of the reference, the index of the matched character of the text; None for a gap."""
    inserted: tuple[tuple[int, ...], ...]
    """For each gap before a character of the reference, and after the last, the indices of inserted characters."""


def distance(one: str, other: str) -> float:
    """Return the minimum edit cost between two texts; similar characters cost less."""
    if one == other:
        return 0.0
    return _costs(_swaps(one, other), len(other), _GAP)[-1][-1]


def align(text: str, reference: str) -> Alignment:
    """Return the alignment of ``text`` with ``reference`` of minimum cost."""
    if len(text) == len(reference) and sum(a != b for a, b in zip(text, reference, strict=True)) <= 1:
        return Alignment(tuple(range(len(text))), ((),) * (len(reference) + 1))
    matched: list[int | None] = []
    inserted: list[list[int]] = [[]]
    for row, column in pairs(_swaps(text, reference), len(reference), _GAP):
        if column is None:
            inserted[-1] += [row] if row is not None else []
        else:
            matched.append(row)
            inserted.append([])
    return Alignment(tuple(matched), tuple(tuple(indices) for indices in inserted))


def pairs(swaps: Swaps, columns: int, gap: float) -> list[tuple[int | None, int | None]]:
    """Return the matched index pairs of minimum total cost, in order.

    ``swaps``: matching costs, each row with ``columns`` values. ``gap``: cost of an unmatched element, which is paired
    with None. Of alignments with equal cost, the one that matches the last elements is returned.
    """
    costs = _costs(swaps, columns, gap)
    matches: list[tuple[int | None, int | None]] = []
    row, column = len(swaps), columns
    while row or column:
        cost = costs[row][column]
        if row and column and cost == costs[row - 1][column - 1] + swaps[row - 1][column - 1]:
            row, column = row - 1, column - 1
            matches.append((row, column))
        elif column and cost == costs[row][column - 1] + gap:
            column -= 1
            matches.append((None, column))
        else:
            row -= 1
            matches.append((row, None))
    return matches[::-1]


def _costs(swaps: Swaps, columns: int, gap: float) -> list[list[float]]:
    # Accumulated by addition as ``pairs`` subtracts: in floating point, three added gaps may differ from 3 * gap.
    rows = [list(accumulate(repeat(gap, columns), initial=0.0))]
    for costs in swaps:
        above = rows[-1]
        row = [above[0] + gap]
        for column, cost in enumerate(costs):
            row.append(min(above[column] + cost, above[column + 1] + gap, row[column] + gap))
        rows.append(row)
    return rows


def _swaps(text: str, reference: str) -> Swaps:
    return [[_swap(one, other) for other in reference] for one in text]


def _swap(one: str, other: str) -> float:
    if one == other:
        return 0.0
    return _LIKE if any(one in group and other in group for group in SIMILAR_CHARACTERS) else _UNLIKE
