"""How far two plates are apart, for somebody who knows that a reader takes an O for a 0.

Both plates are in normal form (``shared.plates``).
"""

from __future__ import annotations

from math import inf
from typing import Final

CONFUSABLE: Final = ("0ODQ", "1I", "8B", "5S", "2Z", "6G")
"""Groups of characters that readers, human ones too, take for one another; the first stands for its group."""

NEAR: Final = 0.25
"""What taking a character for another of its group costs; any other edit costs 1."""

_FOLD: Final = str.maketrans({other: group[0] for group in CONFUSABLE for other in group[1:]})
_QUARTERS: Final = 4


def fold(plate: str) -> str:
    """Return the plate with every character replaced by its group's first: plates a mistake apart become equal."""
    return plate.translate(_FOLD)


def edit_distance(one: str, other: str) -> int:
    """Return how many characters must be put in, taken out or replaced to make one of the other."""
    return _distance(*_differing(one, other), near=_QUARTERS) // _QUARTERS


def plate_distance(one: str, other: str, *, most: float = inf) -> float:
    """Return the same, but with a replacement inside a group of ``CONFUSABLE`` costing only ``NEAR``.

    Plates more than ``most`` apart need not be measured to the end: of them it returns some number above ``most``.
    """
    return _distance(*_differing(one, other), near=1, most=_QUARTERS * most) / _QUARTERS


def _differing(one: str, other: str) -> tuple[str, str]:
    """Return what is left of both without the beginning and the end that they share."""
    start, most = 0, min(len(one), len(other))
    while start < most and one[start] == other[start]:
        start += 1
    end = 0
    while end < most - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return one[start : len(one) - end], other[start : len(other) - end]


def _distance(one: str, other: str, *, near: int, most: float = inf) -> int:
    """Return the distance in quarters of an edit, or, where that is above ``most``, some number above it."""
    if not one or not other:
        return _QUARTERS * (len(one) or len(other))
    folded = fold(other)
    above = list(range(0, _QUARTERS * (len(other) + 1), _QUARTERS))
    for number, char in enumerate(one, start=1):
        alike = char.translate(_FOLD)
        left = _QUARTERS * number
        row = [left]
        for column, rival in enumerate(other):
            diagonal = above[column]
            if char != rival:
                diagonal += near if alike == folded[column] else _QUARTERS
            left = min(diagonal, left + _QUARTERS, above[column + 1] + _QUARTERS)
            row.append(left)
        least = min(row)
        if least > most:  # rows never get smaller
            return least
        above = row
    return above[-1]
