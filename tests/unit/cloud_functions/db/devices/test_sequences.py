"""Ranges of sequences."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.db.devices.sequences import missing_ranges, to_ranges

SEQUENCES = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@given(SEQUENCES)
def test_ranges_hold_exactly_the_sequences(sequences: list[int]) -> None:
    """Sorted, apart from one another, nothing more and nothing less."""
    ranges = to_ranges(sequences)
    assert {number for first, last in ranges for number in range(first, last + 1)} == set(sequences)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(ranges))


@given(SEQUENCES, st.integers(0, 60))
def test_holes_are_what_is_missing_above(sequences: list[int], above: int) -> None:
    """Between the highest known and the highest that came."""
    holes = {
        number for first, last in missing_ranges(to_ranges(sequences), above=above) for number in range(first, last + 1)
    }
    assert holes == set(range(above + 1, max(sequences))) - set(sequences)


def test_nothing_has_no_ranges() -> None:
    """An empty batch of one outbox says nothing."""
    assert to_ranges([]) == []
