"""The edit distance between two plates, with a lower cost for characters that plate readers confuse, such as O and 0.

Both plates are in normal form (``shared.plates``).
"""

from __future__ import annotations

from math import inf
from typing import Final

CONFUSABLE: Final = ("0ODQ", "1I", "8B", "5S", "2Z", "6G")
"""Groups of characters that readers confuse; the first character represents its group."""

NEAR: Final = 0.25
"""The cost of replacing a character by another of its group; any other edit costs 1."""

_FOLD: Final = str.maketrans({other: group[0] for group in CONFUSABLE for other in group[1:]})
_QUARTERS: Final = 4


def fold(plate: str) -> str:
    """Return the plate with each character replaced by the first of its group; confusable plates become equal."""
    return plate.translate(_FOLD)


def edit_distance(one: str, other: str) -> int:
    """Return the Levenshtein distance: the number of insertions, deletions and replacements."""
    return _distance(*_differing(one, other), near=_QUARTERS) // _QUARTERS


def plate_distance(one: str, other: str, *, limit: float = inf) -> float:
    """Return the edit distance in which a replacement within a group of ``CONFUSABLE`` costs only ``NEAR``.

    The computation stops once the distance is above ``limit``; the result is then some number above ``limit``.
    """
    return _distance(*_differing(one, other), near=1, limit=_QUARTERS * limit) / _QUARTERS


def _differing(one: str, other: str) -> tuple[str, str]:
    """Return both texts without their common prefix and suffix."""
    start, shortest = 0, min(len(one), len(other))
    while start < shortest and one[start] == other[start]:
        start += 1
    end = 0
    while end < shortest - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return one[start : len(one) - end], other[start : len(other) - end]


def _distance(one: str, other: str, *, near: int, limit: float = inf) -> int:
    """Return the distance in quarters of an edit; if it is above ``limit``, some number above ``limit``."""
    if not one or not other:
        return _QUARTERS * (len(one) or len(other))
    folded = fold(other)
    above = list(range(0, _QUARTERS * (len(other) + 1), _QUARTERS))
    for number, char in enumerate(one, start=1):
        group = char.translate(_FOLD)
        left = _QUARTERS * number
        row = [left]
        for column, other_char in enumerate(other):
            diagonal = above[column]
            if char != other_char:
                diagonal += near if group == folded[column] else _QUARTERS
            left = min(diagonal, left + _QUARTERS, above[column + 1] + _QUARTERS)
            row.append(left)
        smallest = min(row)
        if smallest > limit:  # the minimum of a row never decreases
            return smallest
        above = row
    return above[-1]
