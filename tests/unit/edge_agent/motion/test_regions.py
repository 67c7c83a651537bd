"""Blobs, filled bodies, and the merging of boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.motion.image_ops import despeckled
from edge_agent.motion.regions import (
    Blob,
    Sides,
    enclosed,
    fill_bodies,
    find_blobs,
    mask_of,
    merge_boxes,
    window_around,
)


def mask(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (90, 160)) -> np.ndarray:
    drawn = np.zeros(shape, np.uint8)
    for left, top, right, bottom in boxes:
        drawn[top:bottom, left:right] = 255
    return drawn


def test_despeckled_drops_single_pixels_and_keeps_blocks() -> None:
    """A lone pixel is dropped; a block of three by three keeps its middle and sides."""
    specks = mask((10, 10, 11, 11), (40, 40, 43, 43))
    kept = despeckled(specks)
    assert kept[10, 10] == 0
    assert kept[41, 41] == 255
    assert kept[40, 41] == 255


def test_blob_covers_the_weak_mask_and_needs_strong_pixels() -> None:
    """Strong pixels select the connected weak pixels; weak pixels alone give no blob."""
    weak = mask((40, 10, 70, 50), (100, 50, 130, 80), (5, 5, 8, 8))
    labels, blobs = find_blobs(mask((50, 20, 54, 24), (5, 5, 8, 8)), weak, min_area_px=10, min_strong_px=6)
    assert [(b.left, b.top, b.width, b.height, b.area_px) for b in blobs] == [(40, 10, 30, 40, 1200)]
    assert np.array_equal(mask_of(labels, blobs), mask((40, 10, 70, 50)))
    assert window_around(blobs, labels.shape) == (slice(6, 54), slice(36, 74))


def test_empty_masks_give_no_blobs() -> None:
    """The caller need not check for an empty mask."""
    assert find_blobs(mask(), mask(), min_area_px=6, min_strong_px=6)[1] == []


def test_outline_is_filled() -> None:
    """Of a car with the colour of the road only the outline differs; its body is the whole area."""
    outline = mask((20, 20, 60, 60))
    outline[24:56, 24:56] = 0
    filled, boxes = fill_bodies(outline, mask((20, 20, 60, 60)), min_area_px=20)
    assert np.array_equal(filled, mask((20, 20, 60, 60)))
    assert boxes.tolist() == [[20, 20, 60, 60]]


def test_small_and_thin_bodies_are_dropped() -> None:
    """An area below the minimum, or without thick pixels, is not a body and not in the mask."""
    objects = mask((10, 10, 13, 13), (50, 10, 52, 60), (100, 10, 120, 30))
    filled, boxes = fill_bodies(objects, mask((10, 10, 13, 13), (102, 12, 118, 28)), min_area_px=20)
    assert boxes.tolist() == [[100, 10, 120, 30]]
    assert np.array_equal(filled, mask((100, 10, 120, 30)))


CLOSED: Sides = (False, False, False, False)


def test_enclosed_panel_is_added_and_adjacent_shadow_is_not() -> None:
    """The area between roof, bumper and sides is part of the body; the shadow is not enclosed."""
    body = mask((20, 20, 80, 70))
    frame = body - mask((26, 26, 74, 64))
    shadow = mask((80, 40, 110, 75))
    filled = enclosed(frame, np.maximum(body, shadow), open_sides=CLOSED)
    assert np.array_equal(filled, body)


def test_shadow_between_two_bodies_does_not_join_them() -> None:
    """The shadow is not enclosed above and below."""
    bodies = mask((10, 20, 60, 70), (90, 20, 140, 70))
    inside = np.maximum(bodies, mask((60, 40, 90, 60)))
    assert np.array_equal(enclosed(bodies, inside, open_sides=CLOSED), bodies)


def test_specks_on_a_shadow_enclose_nothing() -> None:
    """Four specks at the corners of a large shadow do not make it an object."""
    shadow = mask((20, 20, 120, 80))
    specks = mask((20, 20, 30, 30), (110, 20, 120, 30), (20, 70, 30, 80), (110, 70, 120, 80))
    assert np.array_equal(enclosed(specks, shadow, open_sides=CLOSED), specks)


@pytest.mark.parametrize("turns", range(4))
def test_image_edge_encloses_a_truncated_body(turns: int) -> None:
    """The panel of a van between its visible outline and the edge of the image is part of the body."""
    whole = mask((0, 0, 40, 60), shape=(60, 40))
    outline = np.rot90(whole - mask((8, 8, 32, 60), shape=(60, 40)), turns)
    inside = np.rot90(whole, turns)
    sides = [False, False, False, False]
    sides[(3, 2, 1, 0)[turns]] = True
    left, top, right, bottom = sides
    assert np.array_equal(enclosed(outline, inside, open_sides=(left, top, right, bottom)), inside)
    assert np.array_equal(enclosed(outline, inside, open_sides=CLOSED), outline)


def test_open_sides_are_those_at_the_image_edge() -> None:
    """The sides are in the order left, top, right, bottom."""
    shape = (90, 160)
    assert Blob(1, left=0, top=0, width=20, height=20, area_px=400).open_sides(shape) == (True, True, False, False)
    assert Blob(1, left=140, top=70, width=20, height=20, area_px=400).open_sides(shape) == (False, False, True, True)


@pytest.mark.parametrize(
    ("boxes", "count"),
    [
        pytest.param([(0, 0, 50, 80), (60, 0, 110, 80)], 2, id="two cars side by side"),
        pytest.param([(0, 0, 50, 80), (52, 0, 100, 80)], 1, id="two halves that nearly touch"),
        pytest.param([(10, 0, 40, 50), (12, 55, 38, 100)], 1, id="trunk and legs"),
        pytest.param([(0, 0, 50, 80), (54, 30, 64, 50)], 1, id="a mirror beside a car"),
        pytest.param([(0, 0, 50, 80), (80, 30, 90, 50)], 2, id="a dog farther away"),
        pytest.param([(0, 0, 50, 50), (10, 10, 30, 30)], 1, id="one inside the other"),
        pytest.param([(0, 0, 60, 60), (50, 50, 110, 110)], 2, id="two that touch at a corner"),
        pytest.param([(0, 0, 60, 60), (10, 10, 70, 70)], 1, id="two that mostly overlap"),
        pytest.param([], 0, id="none"),
    ],
)
def test_boxes_of_one_object_are_merged(boxes: list[tuple[int, int, int, int]], count: int) -> None:
    """Fragments are merged, neighbours are not."""
    assert len(merge_boxes(np.array(boxes, np.float32).reshape(-1, 4))) == count


box_strategy = st.tuples(st.integers(0, 250), st.integers(0, 150), st.integers(1, 70), st.integers(1, 30)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(st.lists(box_strategy, max_size=12))
def test_merged_boxes_cover_all_boxes_largest_first(boxes: list[tuple[int, int, int, int]]) -> None:
    """Every box is inside a merged box, and merging again changes nothing."""
    given_boxes = np.array(boxes, np.float32).reshape(-1, 4)
    merged = merge_boxes(given_boxes)
    areas = (merged[:, 2] - merged[:, 0]) * (merged[:, 3] - merged[:, 1])
    assert (np.diff(areas) <= 0).all()
    for box in given_boxes:
        inside = (merged[:, :2] <= box[:2]).all(axis=1) & (merged[:, 2:] >= box[2:]).all(axis=1)
        assert inside.any()
    assert np.array_equal(merge_boxes(merged), merged)
