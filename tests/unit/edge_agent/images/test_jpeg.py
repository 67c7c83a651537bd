"""Encoding pictures."""

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
def test_each_format_can_be_read_back(image_format: Any, content_type: str, magic: bytes) -> None:
    """The bytes are what the content type says, of that size and hash, and look like the picture."""
    image = picture()
    encoded = encode(image, image_format=image_format)
    assert encoded.content_type == content_type
    assert encoded.data.startswith(magic)
    assert (encoded.width, encoded.height) == (640, 360)
    assert encoded.sha256 == hashlib.sha256(encoded.data).hexdigest()
    assert np.abs(decoded(encoded.data).astype(int) - image).mean() < 3.0


def test_png_is_exact() -> None:
    """Not a pixel differs."""
    assert np.array_equal(decoded(encode(picture(), image_format="png").data), picture())


@pytest.mark.parametrize("image_format", ["jpg", "webp"])
def test_quality_costs_bytes(image_format: Any) -> None:
    """Higher quality is larger."""
    noisy = np.random.default_rng(0).integers(0, 255, (180, 320, 3)).astype(np.uint8)
    sizes = [len(encode(noisy, image_format=image_format, quality=quality).data) for quality in (20, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]


def test_wide_pictures_are_shrunk_and_narrow_ones_left() -> None:
    """The shape is kept; nothing is enlarged."""
    shrunk = encode(picture(), max_width_px=320)
    assert (shrunk.width, shrunk.height) == (320, 180)
    assert encode(picture(), max_width_px=640).width == 640
    assert encode(picture(), max_width_px=2000).width == 640
    assert decoded(shrunk.data).shape == (180, 320, 3)


def test_an_extreme_strip_keeps_a_row() -> None:
    """A picture one pixel high stays one pixel high."""
    assert encode(np.zeros((1, 5000, 3), np.uint8), max_width_px=10).height == 1


def test_a_thumbnail_is_a_small_jpeg() -> None:
    """320 wide by default, a few kilobytes, whatever the snapshot's own format."""
    small = thumbnail(picture(1280, 720))
    assert (small.content_type, small.width, small.height) == ("image/jpeg", 320, 180)
    assert len(small.data) < 15_000
    assert thumbnail(picture(), width_px=100).width == 100


def test_a_view_into_a_larger_picture_can_be_encoded() -> None:
    """A cut-out is not contiguous in memory."""
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
def test_a_setting_that_cannot_be_is_named(arguments: dict[str, Any], named: str) -> None:
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
def test_what_is_no_picture_is_refused(image: Any) -> None:
    """Shape and type are named."""
    with pytest.raises(PermanentError, match="shape"):
        encode(image)


def test_a_picture_too_large_for_its_format_is_refused() -> None:
    """WebP ends at 16,383 pixels a side; shrunk, it fits."""
    wide = np.zeros((2, 17_000, 3), np.uint8)
    with pytest.raises(PermanentError, match="17000x2"):
        encode(wide, image_format="webp")
    assert encode(wide, image_format="webp", max_width_px=16_000).width == 16_000
