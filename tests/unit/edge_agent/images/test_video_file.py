"""Video files that are written frame by frame."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from edge_agent.images.video_file import VideoFile
from shared.errors import ConfigurationError


def _frames(path: Path) -> list[tuple[float, tuple[int, int], int]]:
    with av.open(str(path)) as container:
        return [
            (float(frame.time), (frame.width, frame.height), round(float(frame.to_ndarray(format="gray").mean())))
            for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_are_written_with_their_times(tmp_path: Path, suffix: str) -> None:
    """With irregular times, changing sizes and an odd width, every frame is written in order at the first size."""
    path = tmp_path / "folder" / f"out{suffix}"
    times = [100.0, 100.1, 100.5, 101.0]
    with VideoFile(path, fps=10.0) as video:
        for number, time_s in enumerate(times):
            size = (91, 161, 3) if number != 2 else (180, 320, 3)
            video.write(np.full(size, 40 * number + 40, np.uint8), time_s=time_s)
    found = _frames(path)
    assert [size for _, size, _ in found] == [(160, 90)] * 4
    assert [time_s - found[0][0] for time_s, _, _ in found] == pytest.approx([0.0, 0.1, 0.5, 1.0], abs=0.002)
    assert [grey for _, _, grey in found] == pytest.approx([40, 80, 120, 160], abs=4)


def test_equal_times_become_increasing(tmp_path: Path) -> None:
    """A container rejects two frames with the same time; no frame is lost."""
    path = tmp_path / "out.mp4"
    with VideoFile(path, fps=25.0) as video:
        for time_s in (5.0, 5.0, 4.9, 5.1):
            video.write(np.zeros((90, 160, 3), np.uint8), time_s=time_s)
    assert len(_frames(path)) == 4


def test_path_that_cannot_be_written_is_rejected(tmp_path: Path) -> None:
    """The name has no video suffix, or the folder is a file."""
    with pytest.raises(ConfigurationError, match=r"must end in \.mp4"):
        VideoFile(tmp_path / "out.txt", fps=10.0)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="cannot write the video"):
        VideoFile(tmp_path / "file" / "out.mp4", fps=10.0)


def test_video_without_frames_can_be_closed(tmp_path: Path) -> None:
    """No frame of a recording may be decodable."""
    with VideoFile(tmp_path / "out.mp4", fps=10.0) as video:
        video.close()
