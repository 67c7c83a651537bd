"""Sequence alignment: complete, ordered and of minimum cost for any costs."""

from __future__ import annotations

import math
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.anpr.recognition.alignment import pairs

COSTS = st.floats(min_value=0.0, max_value=6.0, allow_nan=False)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[float]], int]:
    """Return matching costs of up to six rows and columns, and the number of columns."""
    rows, columns = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    return [[draw(COSTS) for _ in range(columns)] for _ in range(rows)], columns


def minimum_cost(swaps: list[list[float]], columns: int, gap: float) -> float:
    """Return the minimum cost by trying every alignment."""

    @cache
    def rest(row: int, column: int) -> float:
        options: list[float] = []
        if row < len(swaps):
            options.append(gap + rest(row + 1, column))
        if column < columns:
            options.append(gap + rest(row, column + 1))
        if row < len(swaps) and column < columns:
            options.append(swaps[row][column] + rest(row + 1, column + 1))
        return min(options, default=0.0)

    return rest(0, 0)


@given(tables(), st.floats(min_value=0.01, max_value=4.0))
def test_pairs_are_ordered_complete_and_of_minimum_cost(table: tuple[list[list[float]], int], gap: float) -> None:
    """This holds for all costs, including those whose sums are not exact."""
    swaps, columns = table
    found = pairs(swaps, columns, gap)
    assert [row for row, _ in found if row is not None] == list(range(len(swaps)))
    assert [column for _, column in found if column is not None] == list(range(columns))
    cost = math.fsum(gap if row is None or column is None else swaps[row][column] for row, column in found)
    assert cost == pytest.approx(minimum_cost(swaps, columns, gap), abs=1e-9)


@pytest.mark.parametrize("length", range(1, 12))
def test_gaps_with_inexact_sums_are_aligned(length: int) -> None:
    """The sum of three gaps of -log 0.15 differs from three times one gap."""
    gap = -math.log(0.15)
    assert pairs([], length, gap) == [(None, column) for column in range(length)]
    assert pairs([[]] * length, 0, gap) == [(row, None) for row in range(length)]
    far = [[100.0] * length]
    assert len(pairs(far, length, gap)) == length + 1
