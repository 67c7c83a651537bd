"""Distances between plates: plain edits, and cheaper replacements of confusable characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.plates.distance import CONFUSABLE, NEAR, edit_distance, fold, plate_distance

PLATES = st.text("ABDO0Q1I28", max_size=8)


@pytest.mark.parametrize(
    ("one", "other", "edits", "distance"),
    [
        ("AB123", "AB123", 0, 0),
        ("AB123", "AB124", 1, 1),
        ("AB123", "A8123", 1, 0.25),
        ("OO0", "DQO", 3, 0.75),
        ("AB123", "B123", 1, 1),
        ("AB123", "XAB1239", 2, 2),
        ("", "AB", 2, 2),
        ("B8", "8B", 2, 0.5),
        ("S5Z2", "5S2Z", 3, 1.0),
        ("1", "2", 1, 1),
    ],
)
def test_the_distances_of_example_plates(one: str, other: str, edits: int, distance: float) -> None:
    """An insertion, deletion or replacement costs 1; a replacement of confusable characters costs a quarter."""
    assert (edit_distance(one, other), plate_distance(one, other)) == (edits, distance)


def test_confusable_characters_are_near_only_within_their_group() -> None:
    """O/0/D/Q, I/1, B/8, S/5, Z/2, G/6: any other replacement costs a whole edit."""
    for group in CONFUSABLE:
        for one in group:
            for other in "".join(CONFUSABLE) + "A3":
                expected = 0 if one == other else NEAR if other in group else 1
                assert plate_distance(one, other) == expected


def _by_definition(one: str, other: str) -> float:
    if not one or not other:
        return float(len(one) + len(other))
    cost = 0 if one[0] == other[0] else NEAR if fold(one[0]) == fold(other[0]) else 1
    return min(
        cost + _by_definition(one[1:], other[1:]),
        1 + _by_definition(one[1:], other),
        1 + _by_definition(one, other[1:]),
    )


@given(st.text("ABDO01", max_size=5), st.text("ABDO01", max_size=5))
def test_the_distance_equals_its_recursive_definition(one: str, other: str) -> None:
    """The fast algorithm agrees with a search of all edits."""
    assert plate_distance(one, other) == _by_definition(one, other)


@given(PLATES, PLATES, PLATES)
def test_the_distance_is_a_metric(one: str, other: str, third: str) -> None:
    """It is symmetric, zero only for equal plates, meets the triangle inequality, and is at most the edit distance."""
    distance = plate_distance(one, other)
    assert distance == plate_distance(other, one)
    assert (distance == 0) == (one == other)
    assert distance <= plate_distance(one, third) + plate_distance(third, other)
    assert edit_distance(fold(one), fold(other)) <= distance <= edit_distance(one, other)


@given(PLATES, PLATES, st.integers(0, 4))
def test_a_limit_does_not_change_smaller_distances(one: str, other: str, limit: int) -> None:
    """Up to the limit the distance is exact; above it, the result is also above it."""
    distance, limited = plate_distance(one, other), plate_distance(one, other, limit=limit)
    assert limited == distance if distance <= limit else limited > limit
