"""The optimal assignment, compared with an exhaustive search."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.track.assignment import assign, offers_in


def _exhaustive_best(gain: np.ndarray) -> float:
    if gain.shape[0] > gain.shape[1]:
        gain = gain.T
    rows = range(gain.shape[0])
    return max(gain[rows, order].sum() for order in permutations(range(gain.shape[1]), len(rows)))


@st.composite
def gains(draw: st.DrawFn) -> np.ndarray:
    """Draw small gain matrices with many zeros and ties."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    cells = st.one_of(st.just(0.0), st.sampled_from([0.25, 0.5, 0.75]), st.floats(0.0, 1.0, width=32))
    return np.array(draw(st.lists(cells, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))).reshape(shape)


@given(gains())
@settings(max_examples=200, deadline=None)
def test_assignment_has_maximal_gain(gain: np.ndarray) -> None:
    """For any matrix the gain is maximal, and no row or column is paired twice or at gain zero."""
    pairs = assign(offers_in(gain))
    rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
    assert rows == sorted(set(rows))
    assert len(set(columns)) == len(columns)
    assert (gain[rows, columns] > 0).all()
    assert gain[rows, columns].sum() == pytest.approx(_exhaustive_best(gain))


def test_chain_of_preferences_is_solved_globally() -> None:
    """A greedy choice would leave the last row without a partner."""
    gain = np.array([[0.9, 0.8, 0.0], [0.0, 0.9, 0.8], [0.85, 0.0, 0.0]])
    assert assign(offers_in(gain)) == [(0, 1), (1, 2), (2, 0)]


def test_large_dense_matrix_and_its_transpose_have_equal_gain() -> None:
    """The total gain of a dense 30x45 matrix does not depend on its orientation."""
    gain = np.random.default_rng(3).random((30, 45))
    totals = []
    for matrix in (gain, gain.T):
        pairs = assign(offers_in(matrix))
        assert len(pairs) == 30
        totals.append(sum(matrix[pair] for pair in pairs))
    assert totals[0] == pytest.approx(totals[1])


def test_independent_groups_are_solved_independently() -> None:
    """The gain of three independent groups is the sum of their separate gains."""
    rng = np.random.default_rng(4)
    parts = [rng.random((10, 10)) for _ in range(3)]
    whole = np.zeros((30, 30))
    for number, part in enumerate(parts):
        whole[number * 10 :, number * 10 :][:10, :10] = part
    order = rng.permutation(30)
    alone = sum(part[pair] for part in parts for pair in assign(offers_in(part)))
    shuffled = whole[order]
    assert sum(shuffled[pair] for pair in assign(offers_in(shuffled))) == pytest.approx(alone)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_empty_matrix_gives_no_pairs(shape: tuple[int, int]) -> None:
    """A matrix without rows or columns is valid."""
    assert assign(offers_in(np.zeros(shape))) == []
