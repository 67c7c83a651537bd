"""Light, shadow, ghost or thing: judged on painted windows."""

from __future__ import annotations

import cv2
import numpy as np

from edge_agent.motion.shadow_filter import has_left, lit_within, only_lit

SHAPE = (60, 80)
LIMIT = np.full(SHAPE, 12, np.uint8)


def gravel(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 180, SHAPE).astype(np.uint8)


def asphalt() -> np.ndarray:
    return np.full(SHAPE, 110, np.uint8)


def block(level: int, *, on: np.ndarray) -> np.ndarray:
    painted = on.copy()
    painted[20:40, 30:50] = level
    return painted


def inside() -> np.ndarray:
    return block(255, on=np.zeros(SHAPE, np.uint8))


def test_a_shadow_on_texture_is_light() -> None:
    """The same gravel at 60 per cent."""
    shade = (gravel() * 0.6).astype(np.uint8)
    assert (only_lit(gravel(), shade, LIMIT) > 0).mean() > 0.95


def test_other_texture_is_a_thing() -> None:
    """Other gravel of the same brightness."""
    assert (only_lit(gravel(), gravel(seed=1), LIMIT) > 0).mean() < 0.05


def test_a_soft_shadow_on_plain_ground_is_light_and_a_sharp_box_is_not() -> None:
    """A dark box is distinguished from a shadow by the edge around it."""
    sharp = block(60, on=asphalt())
    soft = cv2.GaussianBlur(sharp, (31, 31), 0)
    assert (only_lit(asphalt(), soft, LIMIT) > 0).all()
    assert (only_lit(asphalt(), sharp, LIMIT)[20:40, 30] == 0).all()


def test_far_brighter_or_darker_than_light_makes_things_is_a_thing() -> None:
    """White paint and black tar, without any edge in view."""
    assert not only_lit(asphalt(), np.full(SHAPE, 230, np.uint8), LIMIT).any()
    assert not only_lit(asphalt(), np.full(SHAPE, 10, np.uint8), LIMIT).any()


def test_a_whole_area_in_new_light_is_explained_but_for_what_stands_in_it() -> None:
    """Twice the light and a lift: too much for one pixel alone, plain for the area; a post in it is left over."""
    before = (gravel() * 0.5).astype(np.uint8)
    after = np.clip(before.astype(np.float32) * 1.9 + 20, 0, 255).astype(np.uint8)
    after[10:50, 40:43] = 5
    everywhere = np.full(SHAPE, 255, np.uint8)
    explained = lit_within(before, after, LIMIT, everywhere)
    assert explained is not None
    assert not explained[10:50, 40:43].any()
    explained[10:50, 40:43] = 255
    assert (explained > 0).mean() > 0.9


def test_an_area_that_is_plain_tiny_or_changed_is_not_explained() -> None:
    """Without texture to compare, or with another, light is not assumed."""
    everywhere = np.full(SHAPE, 255, np.uint8)
    few = np.zeros(SHAPE, np.uint8)
    few[0, :10] = 255
    flat = np.full(SHAPE, 90, np.uint8)
    assert lit_within(asphalt(), flat, LIMIT, everywhere) is None
    assert lit_within(gravel(), (gravel() * 0.7).astype(np.uint8), LIMIT, few) is None
    assert lit_within(gravel(), gravel(seed=1), LIMIT, everywhere) is None
    assert lit_within(gravel(), (gravel() * 0.1 + 90).astype(np.uint8), LIMIT, everywhere) is None


def test_a_thing_that_went_is_a_ghost_and_one_that_came_is_not() -> None:
    """The outline is in the background alone, or in the frame alone."""
    empty, with_box = asphalt(), block(200, on=asphalt())
    assert has_left(with_box, empty, inside(), inside())
    assert not has_left(empty, with_box, inside(), inside())


def test_a_ghost_on_strong_texture_is_known_by_how_strange_it_is() -> None:
    """On gravel every pixel has edges, but the even patch in the background is unlike its surroundings."""
    empty, with_box = gravel(), block(220, on=gravel())
    assert has_left(with_box, empty, inside(), inside())
    assert not has_left(empty, with_box, inside(), inside())


def test_a_part_inside_something_that_moves_is_no_ghost() -> None:
    """The flat middle of a large object has no outline of its own."""
    whole = np.zeros(SHAPE, np.uint8)
    whole[5:55, 5:75] = 255
    before = asphalt()
    after = before.copy()
    after[5:55, 5:75] = 200
    assert not has_left(after, before, inside(), whole)
