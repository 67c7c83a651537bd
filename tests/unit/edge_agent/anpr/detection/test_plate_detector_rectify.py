"""Rectification: a rotated plate becomes upright, complete and not mirrored."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_agent.anpr.recognition.rectify import estimate_corners, rectify_plate
from edge_agent.anpr.types import PlateBox


def a_plate() -> np.ndarray:
    """Return a plate with a black upper left quarter, which shows rotation and mirroring."""
    plate = np.full((50, 200, 3), 230, np.uint8)
    plate[:25, :100] = 20
    return plate


def put(plate: np.ndarray, corners: np.ndarray, *, width: int = 640, height: int = 360) -> np.ndarray:
    size = plate.shape[1], plate.shape[0]
    edges = np.array([(0, 0), (size[0], 0), size, (0, size[1])], np.float32) - 0.5
    transform = cv2.getPerspectiveTransform(edges, corners - np.float32(0.5))
    return cv2.warpPerspective(plate, transform, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=(90,) * 3)


def plate_box(corners: np.ndarray, *, has_corners: bool) -> PlateBox:
    left, top, right, bottom = (float(v) for v in (*corners.min(axis=0), *corners.max(axis=0)))
    return PlateBox(left, top, right, bottom, 0.9, corners if has_corners else None)


CORNERS = np.array([(200, 100), (390, 140), (380, 190), (195, 150)], np.float32)


def test_a_plate_is_rectified_by_its_corners() -> None:
    """The crop shows the plate from edge to edge, upright and not mirrored."""
    crop = rectify_plate(put(a_plate(), CORNERS), plate_box(CORNERS, has_corners=True), margin_ratio=(0.0, 0.0))
    height, width = crop.shape[:2]
    assert width / height == pytest.approx(190 / 51, rel=0.1)
    assert crop[4 : height // 2 - 4, 4 : width // 2 - 4].max() < 60
    assert crop[height // 2 + 4 : -4, 4:-4].min() > 180
    assert crop[4:-4, width // 2 + 4 : -4].min() > 180


def test_the_margin_is_a_share_of_the_plate() -> None:
    """The margin is added on every side."""
    crop = rectify_plate(put(a_plate(), CORNERS), plate_box(CORNERS, has_corners=True), margin_ratio=(0.1, 0.3))
    assert crop[2, crop.shape[1] // 2].tolist() == [90, 90, 90]
    assert crop[crop.shape[0] // 2, 4].tolist() == [90, 90, 90]
    assert crop[crop.shape[0] // 2 - 6, crop.shape[1] // 4].max() < 60


def test_large_plates_are_reduced_and_small_ones_kept() -> None:
    """No crop is higher than the maximum, and none is enlarged."""
    big = CORNERS * 4
    image, margin = put(a_plate(), big, width=2560, height=1440), (0.02, 0.06)
    crop = rectify_plate(image, plate_box(big, has_corners=True), margin_ratio=margin, max_height_px=64)
    assert crop.shape[0] <= 64 * 1.13 + 1
    small = CORNERS / 4
    assert rectify_plate(put(a_plate(), small), plate_box(small, has_corners=True), margin_ratio=margin).shape[0] < 18


def test_a_plate_at_the_border_has_a_complete_crop() -> None:
    """Areas outside the image repeat its border."""
    corners = np.array([(-5, -4), (90, -4), (90, 20), (-5, 20)], np.float32)
    crop = rectify_plate(np.full((100, 100, 3), 200, np.uint8), plate_box(corners, has_corners=True))
    assert crop.min() == 200


def lettered(slope_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of a rotated plate with text, and its corners."""
    plate = np.full((110, 520, 3), 235, np.uint8)
    cv2.putText(plate, "AB 123 CDE", (25, 85), cv2.FONT_HERSHEY_DUPLEX, 2.3, (20, 20, 20), 8, cv2.LINE_AA)
    angle = np.radians(slope_deg)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    corners = (np.array([(-130, -28), (130, -28), (130, 28), (-130, 28)]) @ turn + (320, 180)).astype(np.float32)
    return put(plate, corners), corners


@pytest.mark.parametrize("slope_deg", [-9.0, -5.0, 5.0, 9.0])
def test_corners_are_estimated_from_a_box(slope_deg: float) -> None:
    """They are closer to the true corners than those of the box."""
    image, corners = lettered(slope_deg)
    box = plate_box(corners, has_corners=False)
    square = np.array([(box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom)])
    estimated = estimate_corners(image, box)
    assert np.abs(estimated - corners).mean() < 0.6 * np.abs(square - corners).mean()


def test_a_level_plate_keeps_its_box() -> None:
    """Its corners are those of the box."""
    image, corners = lettered(0.0)
    np.testing.assert_allclose(estimate_corners(image, plate_box(corners, has_corners=False)), corners, atol=1e-3)


def test_a_very_small_box_is_kept() -> None:
    """A few pixels do not determine a slope."""
    box = PlateBox(10, 10, 22, 15, 0.5)
    corners = estimate_corners(np.zeros((40, 40, 3), np.uint8), box)
    np.testing.assert_allclose(corners, [(10, 10), (22, 10), (22, 15), (10, 15)])
    assert rectify_plate(np.zeros((40, 40, 3), np.uint8), box).shape[0] >= 8
