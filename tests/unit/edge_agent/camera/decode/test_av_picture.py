"""Decoded pictures: luma without a copy and correct colours, for every pixel format that cameras send."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from edge_agent.camera.decode.av_picture import AvPicture, PictureConverter
from edge_agent.camera.decode.yuv import rgb_from_planes

PATCHES = {(8, 8): (200, 30, 30), (48, 80): (30, 200, 60), (8, 80): (40, 60, 200)}
"""(row, column): BGR colour."""
COLOUR_FORMATS = [
    "yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "nv12", "nv21", "nv16", "yuyv422", "uyvy422", "bgr24",
    "rgb24", "rgba", "gbrp", "yuv420p10le", "yuv422p10le", "p010le", "yuv420p12le", "yuv420p10be", "yuv411p",
]  # fmt: skip
GREY_FORMATS = ["gray", "gray10le", "gray12le", "gray16le"]
FULL_RANGE = {"yuvj420p", "yuvj422p", "bgr24", "rgb24", "rgba", "gbrp", *GREY_FORMATS}


def frame_in(pixel_format: str) -> av.VideoFrame:
    image = np.full((64, 96, 3), PATCHES[8, 80], np.uint8)
    image[:32, :48] = PATCHES[8, 8]
    image[32:, 48:] = PATCHES[48, 80]
    return av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=pixel_format)


def picture_in(pixel_format: str) -> AvPicture:
    return AvPicture(frame_in(pixel_format), converter=PictureConverter())


@pytest.mark.parametrize("pixel_format", COLOUR_FORMATS)
def test_colours_are_preserved(pixel_format: str) -> None:
    """Every patch has its original colour at full size and scaled."""
    picture = picture_in(pixel_format)
    small = picture.scaled_rgb(48, 32)
    assert (picture.width, picture.height) == (96, 64)
    assert picture.bgr().shape == (64, 96, 3)
    assert small.shape == (32, 48, 3)
    for (row, column), bgr in PATCHES.items():
        assert picture.bgr()[row, column].tolist() == pytest.approx(bgr, abs=6)
        assert small[row // 2, column // 2].tolist() == pytest.approx(bgr[::-1], abs=6)


@pytest.mark.parametrize("pixel_format", COLOUR_FORMATS + GREY_FORMATS)
def test_luma_is_the_brightness_plane(pixel_format: str) -> None:
    """Luma has 8 bits, the size of the picture, and the camera's range."""
    luma = picture_in(pixel_format).luma()
    assert luma.shape == (64, 96)
    assert luma.dtype == np.uint8
    assert not luma.flags.writeable
    for (row, column), (b, g, r) in PATCHES.items():
        full = 0.299 * r + 0.587 * g + 0.114 * b
        coded = full if pixel_format in FULL_RANGE else 16 + full * 219 / 255
        # A big-endian format takes the way over BGR and comes out in full range.
        assert luma[row, column] == pytest.approx(full if pixel_format.endswith("be") else coded, abs=3)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "gray"])
def test_luma_is_a_view_of_the_decoders_memory(pixel_format: str) -> None:
    """A change of the frame is visible in the luma, so no pixel was copied."""
    frame = frame_in(pixel_format)
    luma = AvPicture(frame, converter=PictureConverter()).luma()
    frame.planes[0].update(bytes([77]) * frame.planes[0].buffer_size)
    assert (luma == 77).all()


def test_luma_remains_valid_after_its_frame() -> None:
    """A view still has the right pixels after the picture was deleted."""
    lumas = [picture_in("yuv420p").luma() for _ in range(50)]
    assert all(np.array_equal(luma, lumas[0]) for luma in lumas)


def coded(y: int, u: int, v: int, *, colorspace: int, color_range: int) -> av.VideoFrame:
    frame = av.VideoFrame(64, 64, "yuv420p")
    for plane, value in zip(frame.planes, (y, u, v), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace, frame.color_range = colorspace, color_range
    return frame


@pytest.mark.parametrize(
    ("colorspace", "kr", "kb"), [(1, 0.2126, 0.0722), (5, 0.299, 0.114), (2, 0.299, 0.114), (9, 0.2627, 0.0593)]
)
@pytest.mark.parametrize("full", [False, True])
def test_matrix_and_range_follow_the_colour_tags(colorspace: int, kr: float, kb: float, full: bool) -> None:
    """BT.709, BT.601, untagged (as BT.601) and BT.2020, limited and full range, agree with the standards' formula."""
    y, u, v = 120, 100, 180
    luma, cb, cr = (
        (y / 255, (u - 128) / 255, (v - 128) / 255) if full else ((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)
    )
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    frame = coded(y, u, v, colorspace=colorspace, color_range=2 if full else 1)
    picture = AvPicture(frame, converter=PictureConverter())
    expected = [channel * 255 for channel in (blue, green, red)]
    assert picture.bgr()[9, 9].tolist() == pytest.approx(expected, abs=3)
    assert picture.scaled_rgb(16, 16)[5, 5].tolist() == pytest.approx(expected[::-1], abs=4)


def test_bgr_is_converted_once() -> None:
    """A second call returns the same array."""
    picture = picture_in("yuv420p")
    assert picture.bgr() is picture.bgr()
    assert picture.luma() is picture.luma()


def test_conversion_contexts_are_limited() -> None:
    """Contexts are cached for a few sizes only, and the result is right for more sizes."""
    converter = PictureConverter()
    for size in range(16, 40):
        small = AvPicture(frame_in("yuv420p"), converter=converter).scaled_rgb(size, size)
        assert small.shape == (size, size, 3)
        assert small[2, 2].tolist() == pytest.approx(PATCHES[8, 8][::-1], abs=6)
    assert len(converter._contexts) <= 8


def test_picture_can_be_enlarged() -> None:
    """A camera may be smaller than the model's input."""
    big = picture_in("yuv420p").scaled_rgb(300, 300)
    assert big[20, 20].tolist() == pytest.approx(PATCHES[8, 8][::-1], abs=6)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "nv21", "nv16"])
@pytest.mark.parametrize("size", [(150, 100), (131, 77), (320, 240)])
def test_scaled_planes_keep_gradients(pixel_format: str, size: tuple[int, int]) -> None:
    """Gradients in every channel are preserved (FFmpeg's scaler deviates by up to 2.5 levels here)."""
    down, across = np.mgrid[0:1:240j, 0:1:320j]
    channels = [0.5 + 0.3 * np.sin(6 * across + k) * np.cos(5 * down - k) for k in range(3)]
    image = (255 * np.stack(channels, 2)).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=pixel_format)
    painted = cv2.resize(image, size, interpolation=cv2.INTER_AREA)[..., ::-1].astype(int)
    ours = rgb_from_planes(frame, *size)
    assert ours is not None
    assert np.abs(ours - painted).mean() < 1.5
    assert np.abs(ours - painted).max() <= 8


def test_other_formats_are_left_to_ffmpeg() -> None:
    """``rgb_from_planes`` returns None for formats other than planar 8-bit YUV."""
    assert rgb_from_planes(frame_in("yuv420p10le"), 40, 40) is None
    assert rgb_from_planes(frame_in("bgr24"), 40, 40) is None
