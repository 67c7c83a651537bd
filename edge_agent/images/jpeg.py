"""Encodes BGR images as JPEG, PNG or WebP, with the properties that an event reports about them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from edge_agent.resize import scaled
from edge_agent.types import Image
from shared.errors import ConfigurationError, PermanentError
from shared.storage_keys import CONTENT_TYPES

ImageFormat = Literal["jpg", "png", "webp"]
ContentType = Literal["image/jpeg", "image/png", "image/webp"]

_PNG_COMPRESSION_LEVEL = 3
"""Of 9: higher levels take several times as long and hardly reduce the size."""
_MAX_SIDE_PX = {"jpg": 65500, "png": 65500, "webp": 16383}
_QUALITY_FLAGS = {"jpg": cv2.IMWRITE_JPEG_QUALITY, "webp": cv2.IMWRITE_WEBP_QUALITY}


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An encoded image."""

    data: bytes
    content_type: ContentType
    width: int
    height: int
    sha256: str
    """Hash of ``data``, in lower-case hexadecimal digits."""


def encode(
    image: Image, *, image_format: ImageFormat = "jpg", quality: int = 85, max_width_px: int | None = None
) -> EncodedImage:
    """Encode a BGR image, scaled down to ``max_width_px`` if it is wider.

    ``quality`` is 1 to 100 for JPEG and WebP; raising it gives sharper and larger files. PNG ignores it. Raises
    ConfigurationError for an invalid format, quality or width, and PermanentError if the image cannot be encoded.
    """
    if image_format not in CONTENT_TYPES:
        raise ConfigurationError(f"image format {image_format!r} is not supported; choose jpg, png or webp")
    if not 1 <= quality <= 100:
        raise ConfigurationError(f"image quality {quality} is out of range; choose 1 to 100")
    if max_width_px is not None and max_width_px < 1:
        raise ConfigurationError(f"maximum image width {max_width_px} is out of range; choose 1 or more")
    _check_picture(image)
    shrunk = image if max_width_px is None else _shrink(image, max_width_px)
    height, width = shrunk.shape[:2]
    if max(width, height) > _MAX_SIDE_PX[image_format]:
        raise PermanentError(
            f"an image of {width}x{height} pixels is too large for {image_format}; the limit per side is "
            f"{_MAX_SIDE_PX[image_format]}. Set a smaller width"
        )
    data = _compress(shrunk, image_format, quality)
    return EncodedImage(
        data=data,
        content_type=CONTENT_TYPES[image_format],  # pyright: ignore[reportArgumentType]
        width=width,
        height=height,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def thumbnail(image: Image, width_px: int = 320, quality: int = 80) -> EncodedImage:
    """Encode a JPEG of at most this width; a narrower image keeps its size."""
    return encode(image, image_format="jpg", quality=quality, max_width_px=width_px)


def _check_picture(image: Image) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise PermanentError(
            f"not an image: an array of shape {image.shape} and type {image.dtype}; "
            "expected shape (height, width, 3) and type uint8"
        )


def _shrink(image: Image, max_width_px: int) -> Image:
    height, width = image.shape[:2]
    if width <= max_width_px:
        return image
    size = (max_width_px, max(1, round(height * max_width_px / width)))
    return scaled(image, *size)


def _compress(image: Image, image_format: ImageFormat, quality: int) -> bytes:
    if image_format == "png":
        parameters = [cv2.IMWRITE_PNG_COMPRESSION, _PNG_COMPRESSION_LEVEL]
    else:
        parameters = [_QUALITY_FLAGS[image_format], quality]
    try:
        done, buffer = cv2.imencode(f".{image_format}", image, parameters)
    except cv2.error as error:
        raise PermanentError(f"the image could not be encoded as {image_format}: {error}") from error
    if not done:
        raise PermanentError(f"the image could not be encoded as {image_format}")
    return buffer.tobytes()
