"""Format and size of an image, read from its first bytes, so that no image library is needed."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})


class ImageHeader(NamedTuple):
    """An image's format, as the extension of its file, and its size in pixels."""

    extension: str
    width: int
    height: int


def image_header(data: bytes) -> ImageHeader | None:
    """Return the header of a PNG, JPEG or WebP image; None if it is none of them."""
    try:
        if data.startswith(_PNG) and data[12:16] == b"IHDR":
            return ImageHeader("png", *struct.unpack(">II", data[16:24]))
        if data.startswith(_JPEG):
            return _jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError):
        return None
    return None


def _jpeg(data: bytes) -> ImageHeader | None:
    place = 2
    while place < len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return ImageHeader("jpg", width, height)
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker in _NO_LENGTH:
            place += 2
        else:
            place += 2 + struct.unpack(">H", data[place + 2 : place + 4])[0]
    return None


def _webp(data: bytes) -> ImageHeader | None:
    chunk = data[12:16]
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[26:30])
        return ImageHeader("webp", width & 0x3FFF, height & 0x3FFF)
    if chunk == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return ImageHeader("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk == b"VP8X":
        return ImageHeader("webp", *(int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27)))
    return None
