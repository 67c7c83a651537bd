"""Inclusive ranges of sequence numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Range = tuple[int, int]


def merge_ranges(ranges: Iterable[Range]) -> list[Range]:
    """Return the same numbers as sorted ranges that neither overlap nor touch. Empty (inverted) ranges are removed."""
    merged: list[Range] = []
    for first, last in sorted(pair for pair in ranges if pair[0] <= pair[1]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def missing_ranges(requested: Range, held: Sequence[int]) -> list[Range]:
    """Return the parts of ``requested`` not covered by ``held``, which is sorted and within ``requested``."""
    missing: list[Range] = []
    expected = requested[0]
    for number in held:
        if number > expected:
            missing.append((expected, number - 1))
        expected = number + 1
    if expected <= requested[1]:
        missing.append((expected, requested[1]))
    return missing
