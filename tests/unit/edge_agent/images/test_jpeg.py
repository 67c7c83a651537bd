"""Encoding of images."""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.images.jpeg import encode, thumbnail
from shared.errors import ConfigurationError, PermanentError


def picture(width: int = 640, height: int = 360) -> np.ndarray:
    """A soft gradient with a red square."""
    ramp = np.linspace(40, 200, width, dtype=np.float32)
    painted = np.repeat(np.tile(ramp, (height, 1))[..., None], 3, axis=2).astype(np.uint8)
    painted[height // 4 : height // 2, width // 4 : width // 2] = (0, 0, 220)
    return painted


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    ("image_format", "content_type", "magic"),
    [("jpg", "image/jpeg", b"\xff\xd8\xff"), ("png", "image/png", b"\x89PNG"), ("webp", "image/webp", b"RIFF")],
)
def test_each_format_can_be_decoded(image_format: Any, content_type: str, magic: bytes) -> None:
    """Content type, size and hash are right, and the decoded image resembles the original."""
    image = picture()
    encoded = encode(image, image_format=image_format)
    assert encoded.content_type == content_type
    assert encoded.data.startswith(magic)
    assert (encoded.width, encoded.height) == (640, 360)
    assert encoded.sha256 == hashlib.sha256(encoded.data).hexdigest()
    assert np.abs(decoded(encoded.data).astype(int) - image).mean() < 3.0


def test_png_is_lossless() -> None:
    """The decoded image is identical."""
    assert np.array_equal(decoded(encode(picture(), image_format="png").data), picture())


@pytest.mark.parametrize("image_format", ["jpg", "webp"])
def test_higher_quality_gives_larger_files(image_format: Any) -> None:
    """The size increases with the quality setting."""
    noisy = np.random.default_rng(0).integers(0, 255, (180, 320, 3)).astype(np.uint8)
    sizes = [len(encode(noisy, image_format=image_format, quality=quality).data) for quality in (20, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]


def test_only_wider_images_are_scaled_down() -> None:
    """The aspect ratio is kept, and narrower images keep their size."""
    shrunk = encode(picture(), max_width_px=320)
    assert (shrunk.width, shrunk.height) == (320, 180)
    assert encode(picture(), max_width_px=640).width == 640
    assert encode(picture(), max_width_px=2000).width == 640
    assert decoded(shrunk.data).shape == (180, 320, 3)


def test_image_of_one_row_keeps_its_row() -> None:
    """The height is never scaled to 0."""
    assert encode(np.zeros((1, 5000, 3), np.uint8), max_width_px=10).height == 1


def test_thumbnail_is_a_small_jpeg() -> None:
    """Thumbnails are 320 pixels wide by default and have a few kilobytes."""
    small = thumbnail(picture(1280, 720))
    assert (small.content_type, small.width, small.height) == ("image/jpeg", 320, 180)
    assert len(small.data) < 15_000
    assert thumbnail(picture(), width_px=100).width == 100


def test_non_contiguous_image_can_be_encoded() -> None:
    """A crop is not contiguous in memory."""
    cut = picture()[50:150, 100:300]
    assert np.array_equal(decoded(encode(cut, image_format="png").data), cut)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"image_format": "gif"}, "gif"),
        ({"image_format": "JPG"}, "JPG"),
        ({"quality": 0}, "quality 0"),
        ({"quality": 101}, "quality 101"),
        ({"max_width_px": 0}, "maximum image width 0"),
    ],
)
def test_invalid_setting_is_rejected(arguments: dict[str, Any], named: str) -> None:
    """The error names the setting and the valid values."""
    with pytest.raises(ConfigurationError, match=named):
        encode(picture(), **arguments)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
    ],
    ids=["empty", "grey", "four channels", "floats"],
)
def test_array_that_is_not_an_image_is_rejected(image: Any) -> None:
    """The error contains shape and type."""
    with pytest.raises(PermanentError, match="shape"):
        encode(image)


def test_image_too_large_for_its_format_is_rejected() -> None:
    """WebP is limited to 16,383 pixels per side; a scaled image is accepted."""
    wide = np.zeros((2, 17_000, 3), np.uint8)
    with pytest.raises(PermanentError, match="17000x2"):
        encode(wide, image_format="webp")
    assert encode(wide, image_format="webp", max_width_px=16_000).width == 16_000
