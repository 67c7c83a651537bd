"""The pairing that gains most, held against trying everything."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.track.assignment import assign, offers_in


def _best_by_trying(gain: np.ndarray) -> float:
    if gain.shape[0] > gain.shape[1]:
        gain = gain.T
    rows = range(gain.shape[0])
    return max(gain[rows, order].sum() for order in permutations(range(gain.shape[1]), len(rows)))


@st.composite
def gains(draw: st.DrawFn) -> np.ndarray:
    """Draw small matrices with many zeros and many ties."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    cells = st.one_of(st.just(0.0), st.sampled_from([0.25, 0.5, 0.75]), st.floats(0.0, 1.0, width=32))
    return np.array(draw(st.lists(cells, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))).reshape(shape)


@given(gains())
@settings(max_examples=200, deadline=None)
def test_no_other_pairing_gains_more(gain: np.ndarray) -> None:
    """Whatever the matrix, and nobody is paired twice or against a zero."""
    pairs = assign(offers_in(gain))
    rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
    assert rows == sorted(set(rows))
    assert len(set(columns)) == len(columns)
    assert (gain[rows, columns] > 0).all()
    assert gain[rows, columns].sum() == pytest.approx(_best_by_trying(gain))


def test_a_chain_is_solved_as_a_whole() -> None:
    """Taking each one's favourite would leave the last with nothing."""
    gain = np.array([[0.9, 0.8, 0.0], [0.0, 0.9, 0.8], [0.85, 0.0, 0.0]])
    assert assign(offers_in(gain)) == [(0, 1), (1, 2), (2, 0)]


def test_large_contested_matrices_agree_with_their_transpose() -> None:
    """Thirty who all want one another: the same total either way round."""
    gain = np.random.default_rng(3).random((30, 45))
    totals = []
    for matrix in (gain, gain.T):
        pairs = assign(offers_in(matrix))
        assert len(pairs) == 30
        totals.append(sum(matrix[pair] for pair in pairs))
    assert totals[0] == pytest.approx(totals[1])


def test_contests_that_have_nothing_in_common_are_settled_apart() -> None:
    """Three groups of ten, none of which knows of the others, gain what each of them gains alone."""
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
def test_nobody_on_one_side(shape: tuple[int, int]) -> None:
    """Nothing to pair is no error."""
    assert assign(offers_in(np.zeros(shape))) == []
