"""Ranges of sequence numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.db.devices.sequences import missing_ranges, to_ranges

SEQUENCES = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@given(SEQUENCES)
def test_ranges_contain_exactly_the_sequences(sequences: list[int]) -> None:
    """The ranges are sorted and not adjacent."""
    ranges = to_ranges(sequences)
    assert {number for first, last in ranges for number in range(first, last + 1)} == set(sequences)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(ranges))


@given(SEQUENCES, st.integers(0, 60))
def test_missing_ranges_are_the_numbers_not_received(sequences: list[int], above: int) -> None:
    """Between the highest known number and the highest received one."""
    missing = {
        number for first, last in missing_ranges(to_ranges(sequences), above=above) for number in range(first, last + 1)
    }
    assert missing == set(range(above + 1, max(sequences))) - set(sequences)


def test_no_sequences_have_no_ranges() -> None:
    """An empty list gives an empty list."""
    assert to_ranges([]) == []
