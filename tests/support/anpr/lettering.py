"""Vehicles with lettering, telephone numbers and bus numbers on them, drawn with OpenCV's fonts."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_agent.types import Image

WIDTH, HEIGHT = 960, 540
VAN = (150.0, 90.0, 810.0, 440.0)
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX)


@dataclass(frozen=True, slots=True)
class Lettering:
    """Text on a van's side; colours are BGR, ``cap_px`` is the height of a capital letter in pixels."""

    text: str
    cap_px: int = 28
    font: int = 1
    ground: tuple[int, int, int] = (228, 230, 232)
    ink: tuple[int, int, int] = (30, 30, 32)
    at: tuple[int, int] = (300, 300)


def van_with(lettering: Lettering) -> Image:
    """Return a picture of a street with a van that has this lettering on its side and no visible plate."""
    chance = np.random.default_rng(5)
    image = np.full((HEIGHT, WIDTH, 3), (150, 140, 130), np.float32)
    image[380:] = (95, 95, 98)
    left, top, right, bottom = (int(value) for value in VAN)
    shade = np.linspace(8, -14, bottom - top)[:, None, None]
    image[top:bottom, left:right] = np.float32(lettering.ground) + shade
    image = np.clip(image, 0, 255).astype(np.uint8)
    image[top + 30 : top + 140, right - 150 : right - 30] = (52, 46, 42)
    cv2.line(image, (left + 60, top + 10), (left + 60, bottom - 10), (120, 120, 120), 2)
    for x in (left + 140, right - 140):
        cv2.circle(image, (x, bottom), 52, (28, 28, 28), -1)
        cv2.circle(image, (x, bottom), 24, (150, 150, 150), -1)
    font = _FONTS[lettering.font]
    thickness = max(2, round(lettering.cap_px / 7))
    scale = cv2.getFontScaleFromHeight(font, lettering.cap_px, thickness)
    cv2.putText(image, lettering.text, lettering.at, font, scale, lettering.ink, thickness, cv2.LINE_AA)
    noisy = cv2.GaussianBlur(image, (0, 0), 0.7) + chance.normal(0, 2.5, image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
