"""Estimated legibility of a crop."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_agent.anpr.recognition.quality import crop_quality, glyph_height_px, sharpness
from edge_agent.anpr.settings import AnprSettings
from edge_agent.anpr.types import PlateBox
from edge_agent.camera.synthetic.plates import STYLES, draw_plate
from edge_agent.types import Image


def plate_crop(height: int, *, blur: float = 0.0, contrast: float = 1.0) -> Image:
    """Return a German plate of this height, with blur (sigma in pixels) and reduced contrast."""
    drawn = draw_plate("WO BZ 295", STYLES["de"])
    size = (round(drawn.shape[1] * height / drawn.shape[0]), height)
    small = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)
    if blur:
        small = cv2.GaussianBlur(small, (0, 0), blur)
    return np.asarray(np.clip((small.astype(float) - 128) * contrast + 128, 0, 255), np.uint8)


def box(width: float, height: float) -> PlateBox:
    return PlateBox(10, 10, 10 + width, 10 + height, 0.8)


@pytest.mark.parametrize("height", [16, 24, 40, 90])
def test_blur_is_detected_at_every_size(height: int) -> None:
    """A sharp crop is above the default threshold, and one blurred by a fifth of its height is below it."""
    threshold = AnprSettings().min_sharpness
    assert sharpness(plate_crop(height)) > 0.5
    assert sharpness(plate_crop(height, blur=height / 5)) < threshold < sharpness(plate_crop(height, blur=height / 14))


def test_sharpness_falls_with_blur() -> None:
    """It decreases strictly."""
    figures = [sharpness(plate_crop(32, blur=blur)) for blur in (0.0, 0.7, 1.2, 2.0, 3.0)]
    assert figures == sorted(figures, reverse=True)
    assert len(set(figures)) == len(figures)


def test_sharpness_hardly_depends_on_contrast() -> None:
    """A plate in the shade is as sharp; a flat surface with sensor noise is not sharp."""
    assert sharpness(plate_crop(32, contrast=0.4)) == pytest.approx(sharpness(plate_crop(32)), abs=0.12)
    noise = np.random.default_rng(1).normal(120, 1.5, (32, 150, 3))
    assert sharpness(np.asarray(np.rint(noise), np.uint8)) < 0.3
    assert sharpness(np.full((32, 150, 3), 120, np.uint8)) == 0.0


def test_a_crop_of_a_few_pixels_is_not_sharp() -> None:
    """Its sharpness is 0."""
    assert sharpness(np.zeros((2, 40, 3), np.uint8)) == 0.0


def test_the_character_height_follows_from_the_aspect_ratio() -> None:
    """A plate with two lines has smaller characters."""
    assert glyph_height_px(box(104, 22)) == pytest.approx(13.6, abs=0.5)
    assert glyph_height_px(box(60, 40)) == pytest.approx(14.4, abs=0.5)


def test_a_sloping_plate_is_measured_along_its_sides() -> None:
    """Its upright bounding box is higher than the plate."""
    corners = np.array([(0, 0), (100, 30), (100, 52), (0, 22)], np.float32)
    slanting = PlateBox(0, 0, 100, 52, 0.8, corners)
    assert glyph_height_px(slanting) == pytest.approx(glyph_height_px(box(104, 22)), rel=0.02)


def test_small_blurred_and_uncertain_crops_have_a_lower_quality() -> None:
    """Each factor by itself; quality stays within 0..1."""
    best = crop_quality(plate_crop(60), PlateBox(0, 0, 280, 60, 1.0)).overall
    small = crop_quality(plate_crop(14), PlateBox(0, 0, 66, 14, 1.0)).overall
    blurred = crop_quality(plate_crop(60, blur=7), PlateBox(0, 0, 280, 60, 1.0)).overall
    doubtful = crop_quality(plate_crop(60), PlateBox(0, 0, 280, 60, 0.4)).overall
    assert 0.0 <= max(small, blurred, doubtful) < 0.75 * best
    assert best <= 1.0
