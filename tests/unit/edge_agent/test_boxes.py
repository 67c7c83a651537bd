"""Box geometry: the vectorised and the scalar functions against a plain computation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.boxes import (
    box_area,
    box_area_batch,
    box_centre,
    box_containment_batch,
    box_intersection,
    box_iou,
    box_iou_batch,
    clip_boxes,
    overlaps_any,
)
from edge_agent.types import Boxes

BOX = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20))
ROWS = st.lists(BOX, max_size=14)


def _xyxy(rows: list[tuple[int, int, int, int]]) -> Boxes:
    return np.array([[x, y, x + w, y + h] for x, y, w, h in rows], np.float32).reshape(-1, 4)


def _expected_iou(one: np.ndarray, other: np.ndarray) -> float:
    """Count the pixels that both boxes, and that either box, contain."""
    pixels = [
        {(x, y) for x in range(int(box[0]), int(box[2])) for y in range(int(box[1]), int(box[3]))}
        for box in (one, other)
    ]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


@given(rows=ROWS)
def test_iou_equals_the_ratio_of_pixel_counts(rows: list[tuple[int, int, int, int]]) -> None:
    """Scalar, on plain floats and on array rows, and vectorised IoU all equal the ratio of pixel counts."""
    xyxy = _xyxy(rows)
    expected = np.array([[_expected_iou(one, other) for other in xyxy] for one in xyxy]).reshape(len(xyxy), len(xyxy))
    assert np.allclose(box_iou_batch(xyxy, xyxy), expected)
    for row, one in enumerate(xyxy):
        for column, other in enumerate(xyxy):
            assert box_iou(one, other) == pytest.approx(expected[row, column])
            assert box_iou(one.tolist(), other.tolist()) == pytest.approx(expected[row, column])


def test_containment_is_relative_to_the_first_box() -> None:
    """A small box is completely inside a large one; a quarter of the large one is inside the small one."""
    small, large = np.array([[0, 0, 5, 5]], np.float32), np.array([[0, 0, 10, 10]], np.float32)
    assert box_containment_batch(small, large).item() == pytest.approx(1.0)
    assert box_containment_batch(large, small).item() == pytest.approx(0.25)


def test_empty_boxes_overlap_nothing() -> None:
    """The IoU and the containment of boxes without area are 0."""
    empty = np.zeros((1, 4), np.float32)
    assert box_iou_batch(empty, empty).item() == 0.0
    assert box_containment_batch(empty, empty).item() == 0.0
    assert box_iou(empty[0], empty[0]) == 0.0


def test_inverted_boxes_have_no_area() -> None:
    """The scalar and the vectorised area of an inverted box are 0."""
    assert box_area((5.0, 0.0, 1.0, 4.0)) == 0.0
    assert box_area_batch(np.array([[5, 0, 1, 4], [0, 0, 2, 3]], np.float32)).tolist() == [0.0, 6.0]


def test_the_centre_is_halfway_between_opposite_corners() -> None:
    """It is in pixels, as x and y."""
    assert box_centre((10.0, 20.0, 31.0, 24.0)) == (20.5, 22.0)


def test_touching_boxes_share_no_area() -> None:
    """A common edge is not an intersection."""
    assert box_intersection((0, 0, 5, 5), (5, 0, 9, 5)) == 0.0
    assert box_intersection((0, 0, 5, 5), (4, 3, 9, 9)) == 2.0


def test_overlaps_any_is_relative_to_the_smaller_box() -> None:
    """A small box half inside a large one has an IoS of 0.5, in either direction."""
    small, large, far = (0.0, 0.0, 4.0, 4.0), (2.0, 0.0, 40.0, 40.0), (90.0, 90.0, 99.0, 99.0)
    assert overlaps_any(small, [far, large], 0.5)
    assert overlaps_any(large, [small], 0.5)
    assert not overlaps_any(small, [far, large], 0.51)
    assert not overlaps_any(small, [], 0.0)


def test_clipped_boxes_are_inside_the_image() -> None:
    """Every side is limited to the image."""
    outside = np.array([[-3, -4, 50, 60], [2, 3, 4, 5]], np.float32)
    assert clip_boxes(outside, 40, 30).tolist() == [[0, 0, 40, 30], [2, 3, 4, 5]]
