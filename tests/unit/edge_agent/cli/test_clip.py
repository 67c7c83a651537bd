"""``edge-agent clip`` on the command line."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from edge_agent.cli.clip import clip_time
from edge_agent.cli.main import main
from tests.support.clips import make_clip, numbered


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds with a key frame each second."""
    return make_clip(tmp_path_factory.mktemp("in") / "in.mp4", numbered(30), 10.0, codec="libx264", gop=10)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("12.5", 12.5), ("1:02", 62.0), ("01:02:03.5", 3723.5), ("90", 90.0)]
)
def test_a_time_is_seconds_or_hours_minutes_seconds(text: str, seconds: float) -> None:
    """Minutes and hours may be left out."""
    assert clip_time(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1:2:3:4", "1h", "nan", "١", ":5", "1e3"])
def test_other_texts_are_no_times(text: str) -> None:
    """The error says what to write."""
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time"):
        clip_time(text)


def test_a_part_is_written_and_described(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As text for people, and as JSON for programs; start and duration give the end."""
    out = tmp_path / "out.mp4"
    assert main(["clip", str(recording), str(out), "--start", "1", "--duration", "0:01"]) == 0
    shown = capsys.readouterr().out
    assert "1.00 s from 1.00 s on, 10 frames" in shown
    assert "h264 copied without encoding, without audio" in shown
    assert main(["clip", str(recording), str(out), "--start", "0.5", "--end", "1.5", "--force", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["file"], found["frames"], found["encoded"], found["start_s"]) == (str(out), 10, True, 0.5)


def test_an_error_is_one_line_and_a_status(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An existing file: status 2, and the file is named."""
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    assert main(["clip", str(recording), str(out)]) == 2
    assert capsys.readouterr().err.strip() == f"edge-agent: {out} exists; --force replaces it"
    with pytest.raises(SystemExit):
        main(["clip", str(recording), str(out), "--end", "2", "--duration", "2"])
