"""Opening of streams with named hardware decoders."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge_agent.camera.decode.decoder import Damage, check_hardware_decoder, metadata_options, open_video
from edge_agent.camera.file import open_file
from edge_agent.camera.settings import SourceSettings
from shared.clock import ManualClock
from shared.errors import ConfigurationError
from tests.support.clips import best_codec, make_clip, numbered, read_number


def test_unknown_hardware_decoder_is_rejected(tmp_path: Path) -> None:
    """The error lists the devices of the installed FFmpeg."""
    with pytest.raises(ConfigurationError, match="no hardware decoder 'warp'"):
        check_hardware_decoder("warp")
    path = make_clip(tmp_path / "a.mp4", numbered(2))
    with pytest.raises(ConfigurationError, match="warp"):
        open_file(str(path), settings=SourceSettings(hardware_decoder="warp"), clock=ManualClock())


@pytest.mark.skipif(best_codec() != "libx264", reason="this wheel cannot encode H.264")
def test_named_decoder_is_used(tmp_path: Path) -> None:
    """The named decoder gets the stream's headers and returns the same pictures."""
    path = make_clip(tmp_path / "a.mp4", numbered(12))
    settings = SourceSettings(hardware_decoder="h264")
    source = open_file(str(path), settings=settings, clock=ManualClock())
    frames = []
    while (frame := source.read(1.0)) is not None:
        frames.append(frame)
    assert [read_number(frame.picture.luma()) for frame in frames] == list(range(1, 13))
    assert [frame.time_s for frame in frames] == pytest.approx([number * 0.04 for number in range(12)])
    video = open_video(f"file:{path}", hardware_decoder="h264", threads=1, threading="FRAME")
    assert getattr(video.decode, "__self__", None) is not video.stream
    video.container.close()


def test_decoder_for_another_codec_falls_back_to_software(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A camera with another codec is decoded in software, which is logged."""
    path = make_clip(tmp_path / "a.mp4", numbered(4), codec="mpeg4")
    with caplog.at_level(logging.WARNING):
        video = open_video(f"file:{path}", hardware_decoder="h264", threads=1, threading="FRAME")
    assert len(list(video.pictures(Damage()))) == 4
    assert "in software" in caplog.text
    video.container.close()


def test_missing_device_falls_back_to_software(tmp_path: Path) -> None:
    """A configured device that the machine lacks does not prevent decoding."""
    from av.codec.hwaccel import hwdevices_available

    if not hwdevices_available():
        pytest.skip("this FFmpeg knows no hardware devices at all")
    path = make_clip(tmp_path / "a.mp4", numbered(4))
    settings = SourceSettings(hardware_decoder=hwdevices_available()[0])
    source = open_file(str(path), settings=settings, clock=ManualClock())
    assert source.read(1.0) is not None


def test_python_arguments_depend_on_the_version_of_pyav() -> None:
    """PyAV 19 rejects an argument that earlier versions need."""
    assert metadata_options("18.1.0") == metadata_options("15.0.0") == {"metadata_errors": "ignore"}
    assert metadata_options("19.0.2") == metadata_options("20.1.0rc1") == {}


def test_python_metadata_that_is_not_utf8_is_accepted(tmp_path: Path) -> None:
    """Some recorders write a title in another code page; the installed PyAV opens the file."""
    path = make_clip(tmp_path / "a.mkv", numbered(3), title="Gate xxx")
    path.write_bytes(path.read_bytes().replace(b"Gate xxx", b"Gate \xff\xfe\xe9"))
    video = open_video(f"file:{path}", hardware_decoder=None, threads=1, threading="FRAME")
    assert len(list(video.pictures(Damage()))) == 3
    video.container.close()
