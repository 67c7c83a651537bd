"""Light, shadows, ghosts and objects on synthetic windows."""

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


def test_shadow_on_texture_is_light() -> None:
    """The same gravel at 60 % brightness is a shadow."""
    shade = (gravel() * 0.6).astype(np.uint8)
    assert (only_lit(gravel(), shade, LIMIT) > 0).mean() > 0.95


def test_different_texture_is_an_object() -> None:
    """Different gravel of the same brightness is not light."""
    assert (only_lit(gravel(), gravel(seed=1), LIMIT) > 0).mean() < 0.05


def test_soft_shadow_on_plain_ground_is_light_and_a_sharp_box_is_not() -> None:
    """A dark box is distinguished from a shadow by its sharp edge."""
    sharp = block(60, on=asphalt())
    soft = cv2.GaussianBlur(sharp, (31, 31), 0)
    assert (only_lit(asphalt(), soft, LIMIT) > 0).all()
    assert (only_lit(asphalt(), sharp, LIMIT)[20:40, 30] == 0).all()


def test_extreme_change_of_brightness_is_an_object() -> None:
    """White paint and black tar are objects even without a visible edge."""
    assert not only_lit(asphalt(), np.full(SHAPE, 230, np.uint8), LIMIT).any()
    assert not only_lit(asphalt(), np.full(SHAPE, 10, np.uint8), LIMIT).any()


def test_change_of_light_is_explained_except_for_an_object_in_it() -> None:
    """A gain of 1.9 with an offset explains the whole area except for a post that stands in it."""
    before = (gravel() * 0.5).astype(np.uint8)
    after = np.clip(before.astype(np.float32) * 1.9 + 20, 0, 255).astype(np.uint8)
    after[10:50, 40:43] = 5
    everywhere = np.full(SHAPE, 255, np.uint8)
    explained = lit_within(before, after, LIMIT, everywhere)
    assert explained is not None
    assert not explained[10:50, 40:43].any()
    explained[10:50, 40:43] = 255
    assert (explained > 0).mean() > 0.9


def test_plain_tiny_or_retextured_area_is_not_explained() -> None:
    """An area with too little texture or with a different texture is not explained by light."""
    everywhere = np.full(SHAPE, 255, np.uint8)
    few = np.zeros(SHAPE, np.uint8)
    few[0, :10] = 255
    flat = np.full(SHAPE, 90, np.uint8)
    assert lit_within(asphalt(), flat, LIMIT, everywhere) is None
    assert lit_within(gravel(), (gravel() * 0.7).astype(np.uint8), LIMIT, few) is None
    assert lit_within(gravel(), gravel(seed=1), LIMIT, everywhere) is None
    assert lit_within(gravel(), (gravel() * 0.1 + 90).astype(np.uint8), LIMIT, everywhere) is None


def test_removed_object_is_a_ghost_and_added_object_is_not() -> None:
    """The outline of a ghost is only in the background, that of an object only in the frame."""
    empty, with_box = asphalt(), block(200, on=asphalt())
    assert has_left(with_box, empty, inside(), inside())
    assert not has_left(empty, with_box, inside(), inside())


def test_ghost_on_strong_texture_is_detected_by_its_contrast() -> None:
    """Gravel has edges everywhere, but a uniform patch in the background contrasts with its surroundings."""
    empty, with_box = gravel(), block(220, on=gravel())
    assert has_left(with_box, empty, inside(), inside())
    assert not has_left(empty, with_box, inside(), inside())


def test_part_of_a_moving_object_is_not_a_ghost() -> None:
    """The uniform middle of a large object has no outline."""
    whole = np.zeros(SHAPE, np.uint8)
    whole[5:55, 5:75] = 255
    before = asphalt()
    after = before.copy()
    after[5:55, 5:75] = 200
    assert not has_left(after, before, inside(), whole)
