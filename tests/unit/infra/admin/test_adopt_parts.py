"""The parts of an adoption that need no database: image headers, ids of cameras and events, the progress bar."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.admin.adopt.image_header import ImageHeader, image_header
from infra.admin.adopt.mapped_row import camera_names, deterministic_event_id
from infra.admin.progress_bar import ProgressBar
from shared.ids import is_segment, is_uuid


@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
@pytest.mark.parametrize("size", [(1, 1), (640, 360), (5, 700)])
def test_the_size_of_an_image_is_in_its_header(extension: str, size: tuple[int, int]) -> None:
    """PNG, JPEG and WebP as OpenCV writes them; WebP lossless too."""
    width, height = size
    image = np.full((height, width, 3), 90, np.uint8)
    flags = [cv2.IMWRITE_WEBP_QUALITY, 101] if extension == "webp" else []
    for options in ([], flags):
        data = cv2.imencode(f".{extension}", image, options)[1].tobytes()
        assert image_header(data) == ImageHeader(extension, width, height)


def test_an_extended_webp_has_its_size_elsewhere() -> None:
    """The canvas size of the VP8X chunk, which is stored less one."""
    data = b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0\0\0\0\0" + (799).to_bytes(3, "little") + (599).to_bytes(3, "little")
    assert image_header(data) == ImageHeader("webp", 800, 600)


@given(st.binary(max_size=64), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF0000WEBPVP8 "]))
def test_any_bytes_are_an_image_or_none(data: bytes, begin: bytes) -> None:
    """Nothing is raised for a file that is cut off or garbled."""
    header = image_header(begin + data)
    assert header is None or header.extension in {"png", "jpg", "webp"}


@given(st.lists(st.text(min_size=1, max_size=120)))
def test_every_camera_gets_a_valid_id_of_its_own(old: list[str]) -> None:
    """Valid ids stay; no two cameras become one."""
    changed = camera_names(old)
    names = [changed.get(one, one) for one in set(old)]
    assert all(is_segment(name) for name in names)
    assert len(set(names)) == len(names)
    assert not [one for one in changed if is_segment(one)]


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2999, 1, 1)), st.text())  # noqa: DTZ001
def test_an_event_id_follows_from_the_row(moment: datetime, identity: str) -> None:
    """A UUIDv7 of the event's millisecond, the same each time and another for another row."""
    timestamp = moment.replace(tzinfo=UTC)
    event_id = deterministic_event_id(timestamp, identity)
    assert is_uuid(event_id)
    assert event_id[14] == "7"
    assert event_id[19] in "89ab"
    assert event_id == deterministic_event_id(timestamp, identity)
    assert event_id != deterministic_event_id(timestamp, identity, "x")
    stamp_ms = int(event_id[:8] + event_id[9:13], 16)
    assert stamp_ms == (timestamp - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere() -> None:
    """A bar is drawn over itself; a log gets a line for each tenth only."""
    for stream in (_Terminal(), io.StringIO()):
        now_s = iter(range(1000))
        bar = ProgressBar("copying", total=100, done=0, stream=stream, monotonic=lambda now_s=now_s: float(next(now_s)))
        for _ in range(100):
            bar.advance(1)
        bar.finish()
        shown = stream.getvalue()
        if stream.isatty():
            assert shown.endswith("100% 100 of 100 rows, 1/s\n")
            assert "\rcopying [###############---------------]  50%" in shown
        else:
            assert len(shown.splitlines()) == 11
            assert shown.splitlines()[-1].startswith("copying: 100%, 100 of 100 rows")


def test_a_table_that_grows_meanwhile_ends_at_100_percent() -> None:
    """More rows than counted at first, or none at all."""
    stream = io.StringIO()
    bar = ProgressBar("copying", total=0, done=0, stream=stream)
    bar.advance(5)
    bar.finish()
    assert "100%, 5 of 1 rows" in stream.getvalue()
