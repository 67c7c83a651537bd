"""Decoding of cells to plates: exact positions, thresholds, duplicates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.anpr.detection.plate_decoding import STRIDES, PlateDetections, cell_grid, decode, merge
from tests.support.anpr.plate_scenes import cells_with

WIDTH, HEIGHT = 256, 160
GRID = cell_grid(HEIGHT, WIDTH)


def a_plate(x: float, y: float, wide: float, tall: float, *, lean: float = 0.0) -> np.ndarray:
    return np.array([(x, y), (x + wide, y + lean), (x + wide, y + tall + lean), (x, y + tall)], np.float32)


@given(
    x=st.floats(5, 150),
    y=st.floats(5, 100),
    wide=st.floats(10, 100),
    tall=st.floats(4, 50),
    lean=st.floats(-8, 8),
    stride=st.sampled_from(STRIDES),
)
def test_corners_are_decoded_from_every_cell(
    x: float, y: float, wide: float, tall: float, lean: float, stride: int
) -> None:
    """This holds for every cell of every stride."""
    corners = a_plate(x, y, wide, tall, lean=lean)
    found = decode(cells_with(corners, height=HEIGHT, width=WIDTH, stride=stride, logit=1.5), GRID, threshold=0.5)
    assert len(found) == 1
    np.testing.assert_allclose(found.corners[0], corners, atol=0.01)
    assert found.score[0] == pytest.approx(1 / (1 + np.exp(-1.5)), abs=1e-5)


def test_boxes_contain_all_corners() -> None:
    """The box of a slanted plate extends from its highest to its lowest corner."""
    found = PlateDetections(np.ones(1, np.float32), a_plate(10, 20, 40, 10, lean=-6)[None])
    np.testing.assert_allclose(found.boxes(), [[10, 14, 50, 30]])


@pytest.mark.parametrize(("threshold", "count"), [(0.5, 1), (0.73, 1), (0.74, 0)])
def test_the_threshold_applies_to_the_score(threshold: float, count: int) -> None:
    """A logit of 1 is a score of 0.731."""
    cells = cells_with(a_plate(10, 10, 40, 10), height=HEIGHT, width=WIDTH, stride=8, logit=1.0)
    assert len(decode(cells, GRID, threshold=threshold)) == count


def test_an_empty_grid_decodes_to_no_plates() -> None:
    """The arrays have the right shapes."""
    cells = np.full((len(GRID), 9), -9, np.float32)
    found = decode(cells, GRID, threshold=0.3)
    assert found.corners.shape == (0, 4, 2)
    assert found.boxes().shape == (0, 4)


def test_one_plate_at_two_strides_is_one_plate() -> None:
    """The higher score is kept."""
    one = cells_with(a_plate(20, 20, 80, 20), height=HEIGHT, width=WIDTH, stride=8, logit=1.0)
    other = cells_with(a_plate(22, 21, 80, 20), height=HEIGHT, width=WIDTH, stride=16, logit=2.0)
    cells = np.where(one[:, :1] > other[:, :1], one, other)
    found = decode(cells, GRID, threshold=0.5)
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes()[0], [22, 21, 102, 41], atol=0.01)


def test_plates_side_by_side_are_returned_in_order_of_score() -> None:
    """Neighbours that do not overlap are both kept."""
    one = cells_with(a_plate(10, 20, 80, 20), height=HEIGHT, width=WIDTH, stride=8, logit=1.0)
    other = cells_with(a_plate(100, 20, 80, 20), height=HEIGHT, width=WIDTH, stride=8, logit=2.0)
    found = decode(np.where(one[:, :1] > other[:, :1], one, other), GRID, threshold=0.5)
    np.testing.assert_allclose(found.boxes()[:, 0], [100, 10], atol=0.01)


def test_a_part_of_a_plate_is_suppressed() -> None:
    """A small box inside a better one is dropped despite a low IoU."""
    corners = np.stack([a_plate(10, 10, 100, 40), a_plate(20, 15, 20, 10)])
    kept = merge(PlateDetections(np.array([0.9, 0.8], np.float32), corners), overlap=0.3)
    assert kept.tolist() == [0]


def test_only_the_best_cells_are_decoded() -> None:
    """Of an image full of candidates, ``max_cells`` are decoded."""
    cells = np.zeros((len(GRID), 9), np.float32)
    cells[:, 1:] = np.array([-0.4, -0.2, 0.4, -0.2, 0.4, 0.2, -0.4, 0.2], np.float32)
    cells[:, 0] = np.linspace(1, 2, len(GRID))
    found = decode(cells, GRID, threshold=0.5, max_cells=7)
    assert len(found) == 7
    assert found.score.min() > 1 / (1 + np.exp(-1.98))


def test_the_grid_is_ordered_by_stride_and_row() -> None:
    """The first cells are the first row at stride 8; every stride covers the input."""
    assert GRID[:2].tolist() == [[4, 4, 8], [12, 4, 8]]
    assert len(GRID) == sum((HEIGHT // s) * (WIDTH // s) for s in STRIDES)
