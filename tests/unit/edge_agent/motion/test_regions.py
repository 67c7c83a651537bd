"""Blobs, bodies and the merging of boxes."""

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


def test_specks_go_and_edges_stay() -> None:
    """A lone pixel is dropped; a block of three by three keeps its middle and sides."""
    specks = mask((10, 10, 11, 11), (40, 40, 43, 43))
    kept = despeckled(specks)
    assert kept[10, 10] == 0
    assert kept[41, 41] == 255
    assert kept[40, 41] == 255


def test_a_blob_is_as_large_as_what_perhaps_changed_and_needs_what_surely_did() -> None:
    """Sure pixels carry the perhaps-pixels around them; perhaps alone is nothing."""
    perhaps = mask((40, 10, 70, 50), (100, 50, 130, 80), (5, 5, 8, 8))
    labels, blobs = find_blobs(mask((50, 20, 54, 24), (5, 5, 8, 8)), perhaps, least_area_px=10, least_sure_px=6)
    assert [(b.left, b.top, b.width, b.height, b.area_px) for b in blobs] == [(40, 10, 30, 40, 1200)]
    assert np.array_equal(mask_of(labels, blobs), mask((40, 10, 70, 50)))
    assert window_around(blobs, labels.shape) == (slice(6, 54), slice(36, 74))


def test_nothing_changed_gives_no_blobs() -> None:
    """An empty mask is no special case for the caller."""
    assert find_blobs(mask(), mask(), least_area_px=6, least_sure_px=6)[1] == []


def test_an_outline_is_filled() -> None:
    """A car of the road's own grey shows its outline only; its body is the whole."""
    outline = mask((20, 20, 60, 60))
    outline[24:56, 24:56] = 0
    filled, boxes = fill_bodies(outline, mask((20, 20, 60, 60)), least_area_px=20)
    assert np.array_equal(filled, mask((20, 20, 60, 60)))
    assert boxes.tolist() == [[20, 20, 60, 60]]


def test_small_and_thin_bodies_are_dropped() -> None:
    """What is under the least area, and what has no thick pixels, is no body and is not in the mask."""
    things = mask((10, 10, 13, 13), (50, 10, 52, 60), (100, 10, 120, 30))
    filled, boxes = fill_bodies(things, mask((10, 10, 13, 13), (102, 12, 118, 28)), least_area_px=20)
    assert boxes.tolist() == [[100, 10, 120, 30]]
    assert np.array_equal(filled, mask((100, 10, 120, 30)))


CLOSED: Sides = (False, False, False, False)


def test_a_panel_framed_by_a_body_belongs_to_it_and_the_shadow_beside_does_not() -> None:
    """Roof above, bumper below, sides left and right: what lies between is body; the shadow has nothing beyond it."""
    body = mask((20, 20, 80, 70))
    frame = body - mask((26, 26, 74, 64))
    shadow = mask((80, 40, 110, 75))
    found = enclosed(frame, np.maximum(body, shadow), open_sides=CLOSED)
    assert np.array_equal(found, body)


def test_the_shadow_between_two_bodies_does_not_join_them() -> None:
    """Nothing is above or below it, so both stay apart."""
    bodies = mask((10, 20, 60, 70), (90, 20, 140, 70))
    inside = np.maximum(bodies, mask((60, 40, 90, 60)))
    assert np.array_equal(enclosed(bodies, inside, open_sides=CLOSED), bodies)


def test_specks_on_a_shadow_enclose_nothing() -> None:
    """Four corners of a large shadow that look like things do not make it one."""
    shadow = mask((20, 20, 120, 80))
    specks = mask((20, 20, 30, 30), (110, 20, 120, 30), (20, 70, 30, 80), (110, 70, 120, 80))
    assert np.array_equal(enclosed(specks, shadow, open_sides=CLOSED), specks)


@pytest.mark.parametrize("turns", range(4))
def test_the_picture_s_edge_closes_a_body_that_goes_on_beyond_it(turns: int) -> None:
    """A van half in the picture: the panel between its seen outline and the edge is body."""
    whole = mask((0, 0, 40, 60), shape=(60, 40))
    outline = np.rot90(whole - mask((8, 8, 32, 60), shape=(60, 40)), turns)
    inside = np.rot90(whole, turns)
    sides = [False, False, False, False]
    sides[(3, 2, 1, 0)[turns]] = True
    left, top, right, bottom = sides
    assert np.array_equal(enclosed(outline, inside, open_sides=(left, top, right, bottom)), inside)
    assert np.array_equal(enclosed(outline, inside, open_sides=CLOSED), outline)


def test_a_blob_knows_the_edges_of_the_picture_that_it_reaches() -> None:
    """Left, top, right, bottom."""
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
        pytest.param([(0, 0, 50, 80), (80, 30, 90, 50)], 2, id="a dog further off"),
        pytest.param([(0, 0, 50, 50), (10, 10, 30, 30)], 1, id="one inside the other"),
        pytest.param([(0, 0, 60, 60), (50, 50, 110, 110)], 2, id="two that touch at a corner"),
        pytest.param([(0, 0, 60, 60), (10, 10, 70, 70)], 1, id="two that mostly overlap"),
        pytest.param([], 0, id="none"),
    ],
)
def test_boxes_merge_where_they_belong_together(boxes: list[tuple[int, int, int, int]], count: int) -> None:
    """Fragments join, neighbours do not."""
    assert len(merge_boxes(np.array(boxes, np.float32).reshape(-1, 4))) == count


box_strategy = st.tuples(st.integers(0, 250), st.integers(0, 150), st.integers(1, 70), st.integers(1, 30)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(st.lists(box_strategy, max_size=12))
def test_merged_boxes_cover_all_and_come_largest_first(boxes: list[tuple[int, int, int, int]]) -> None:
    """Every box lies in a merged one; the hull of all is unchanged; merging again changes nothing."""
    given_boxes = np.array(boxes, np.float32).reshape(-1, 4)
    merged = merge_boxes(given_boxes)
    areas = (merged[:, 2] - merged[:, 0]) * (merged[:, 3] - merged[:, 1])
    assert (np.diff(areas) <= 0).all()
    for box in given_boxes:
        inside = (merged[:, :2] <= box[:2]).all(axis=1) & (merged[:, 2:] >= box[2:]).all(axis=1)
        assert inside.any()
    assert np.array_equal(merge_boxes(merged), merged)
