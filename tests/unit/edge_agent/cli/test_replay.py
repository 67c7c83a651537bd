"""`edge-agent replay`: the events, pictures and summary of a recording."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from edge_agent.cli.main import main
from shared.events import MotionEvent, TrackingEvent, parse_event
from tests.support.clips import make_clip

FPS = 10.0
CROSSINGS = ((15, 45), (75, 105))
"""First and last frame of each of two crossings."""


def _scene(frames: int = 150) -> Iterator[np.ndarray]:
    """Yield the frames of a textured yard that a bright box crosses twice."""
    rng = np.random.default_rng(7)
    yard = cv2.GaussianBlur(rng.integers(60, 120, (180, 320, 3), np.uint8), (9, 9), 0)
    for number in range(1, frames + 1):
        image = yard.copy()
        for first, last in CROSSINGS:
            if first <= number <= last:
                left = 5 + (number - first) * 9
                cv2.rectangle(image, (left, 70), (left + 40, 130), (220, 225, 230), -1)
        yield image


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a recording of the scene."""
    return make_clip(tmp_path_factory.mktemp("clip") / "yard.mp4", _scene(), FPS)


def _events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]


def _replay(clip: Path, out: Path, *options: str) -> int:
    return main(["replay", str(clip), "--out", str(out), "--model", "none", *options])


def test_two_crossings_are_two_visits(clip: Path, tmp_path: Path) -> None:
    """Each object enters and leaves once, near the frames in which it is visible, and motion is reported."""
    assert _replay(clip, tmp_path) == 0
    parsed = [parse_event(json.dumps(event).encode()) for event in _events(tmp_path)]
    tracking = [event for event in parsed if isinstance(event, TrackingEvent)]
    visits = {event.event_data.track_id: [] for event in tracking}
    for event in tracking:
        visits[event.event_data.track_id].append(event)
    assert len(visits) == 2
    for (first, last), visit in zip(CROSSINGS, visits.values(), strict=True):
        assert [event.event_data.tracking_action for event in visit] == ["entered", "left"]
        left = visit[-1]
        assert left.event_data.dwell_time_seconds == pytest.approx((last - first) / FPS, abs=0.7)
        assert left.frame_number is not None
        assert first <= left.frame_number <= last + 1
    motions = [event.event_data.duration_seconds is None for event in parsed if isinstance(event, MotionEvent)]
    assert motions == [True, False, True, False]
    assert [event.sequence for event in parsed] == list(range(1, len(parsed) + 1))


def test_every_snapshot_is_stored_under_the_key_of_its_event(clip: Path, tmp_path: Path) -> None:
    """Its size is the one in the event, and its thumbnail has the same key."""
    _replay(clip, tmp_path)
    for event in _events(tmp_path):
        picture = tmp_path / "snapshots" / event["snapshot"]["key"]
        assert picture.stat().st_size == event["snapshot"]["bytes"]
        assert cv2.imread(str(picture)).shape == (180, 320, 3)
        assert (tmp_path / "thumbnails" / event["snapshot"]["key"]).is_file()


def test_replaying_a_recording_twice_gives_the_same_events(clip: Path, tmp_path: Path) -> None:
    """Only the event ids differ between two runs."""
    for name in ("one", "two"):
        _replay(clip, tmp_path / name, "--start-time", "2026-11-20T10:00:00Z")
    one, two = (_events(tmp_path / name) for name in ("one", "two"))
    assert one
    for event in one + two:
        del event["event_id"]
    assert one == two


def test_start_time_and_camera_id_set_the_fields_of_events(clip: Path, tmp_path: Path) -> None:
    """Timestamps count from --start-time, and a time without an offset is UTC."""
    _replay(clip, tmp_path, "--start-time", "2031-05-01T00:00:00", "--camera-id", "yard")
    event = _events(tmp_path)[0]
    assert event["timestamp"].startswith("2031-05-01T00:00:01.")
    assert event["camera_id"] == "yard"
    assert event["snapshot"]["key"].startswith("yard/2031-05-01/motion_000001_")


def test_json_summary_is_the_only_output(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stdout is one JSON object with frames, speed, stage times and event counts."""
    assert _replay(clip, tmp_path, "--json", "--no-motion-gate", "--detect-every", "2") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["frames"] == 150
    assert summary["fps"] > 0
    assert {"decode", "motion", "detect", "track"} <= set(summary["stage_seconds"])
    assert summary["events_by_type"]["tracking"] == 4
    assert summary["tracking"] == {"object": {"entered": 2, "left": 2}}


def test_table_summary_lists_events_and_files(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has the frame count, classes, event types, stages and the path of the event file."""
    _replay(clip, tmp_path)
    shown = capsys.readouterr().out
    for part in ("150 frames", "object", "tracking", "decode", "events.jsonl"):
        assert part in shown


def test_a_recording_without_motion_reports_no_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The summary says "no events" instead of showing an empty table."""
    still = make_clip(tmp_path / "still.mp4", [next(_scene())] * 30, FPS)
    assert _replay(still, tmp_path / "out") == 0
    assert "no events" in capsys.readouterr().out
    assert _events(tmp_path / "out") == []


def test_settings_are_read_from_the_agent_configuration(clip: Path, tmp_path: Path) -> None:
    """`--config` uses the settings of the camera with the given id; an unknown id is an error."""
    config = tmp_path / "agent.toml"
    config.write_text(
        'site_id = "hq"\ndevice_id = "gate-01"\n[mqtt]\nhost = "b"\n[[cameras]]\nid = "yard"\nsource = "usb:0"\n'
        'mode = "motion"\n',
        encoding="utf-8",
    )
    assert _replay(clip, tmp_path / "out", "--config", str(config), "--camera-id", "yard") == 0
    events = _events(tmp_path / "out")
    assert {event["event_type"] for event in events} == {"motion"}
    assert {event["device_id"] for event in events} == {"gate-01"}
    assert _replay(clip, tmp_path / "out", "--config", str(config), "--camera-id", "garden") == 2


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("nothing.mp4", "nothing.mp4"),
        (".", "folder"),
        ("notes.mp4", "notes.mp4"),
        ("empty.mp4", "empty.mp4"),
        ("ftp://me:hunter2@host/x.mp4", "ftp"),
    ],
)
def test_invalid_sources_are_reported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, source: str, named: str
) -> None:
    """The error names the source on stderr without its password or a traceback, and the exit status is 2."""
    monkeypatch.chdir(tmp_path)
    Path("notes.mp4").write_text("these are notes, not a video\n" * 50)
    Path("empty.mp4").touch()
    assert main(["replay", source, "--out", "out", "--model", "none"]) == 2
    said = capfd.readouterr().err
    assert named in said
    assert "hunter2" not in said
    assert "Traceback" not in said


def test_a_damaged_recording_is_analysed_as_far_as_possible(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The decodable part is analysed, and the exit status is 1."""
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(bytes(data))
    assert _replay(damaged, tmp_path / "out", "--json") == 1
    assert json.loads(capsys.readouterr().out)["frames"] > 20


def test_edge_27_a_truncated_recording_gives_its_events_and_exit_status_1(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Events before the cut are complete, and a warning names the missing part."""
    with av.open(str(clip)) as whole, av.open(str(tmp_path / "whole.mkv"), "w") as copied:
        video = copied.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                copied.mux(packet)
    data = (tmp_path / "whole.mkv").read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 3 // 4])
    assert _replay(tmp_path / "whole.mkv", tmp_path / "out") == 0
    capsys.readouterr()
    assert _replay(cut, tmp_path / "out", "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert "cut.mkv is damaged or cut short after frame" in said["warning"]
    assert len(_events(tmp_path / "out")) == said["events"] > 0


def test_an_invalid_model_file_is_reported(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that the user selects must be usable; there is no fallback."""
    fake = tmp_path / "fake.tflite"
    fake.write_bytes(b"not a model" * 100)
    assert main(["replay", str(clip), "--out", str(tmp_path / "out"), "--model", str(fake)]) == 2
    assert "fake.tflite" in capsys.readouterr().err


def test_blob_detection_replaces_a_missing_default_model(
    clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the model cannot be downloaded, a warning is logged and blob detection is used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("VEDETTE_MODELS", "http://127.0.0.1:1")
    assert main(["replay", str(clip), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert [
        record.message
        for record in caplog.records
        if "no detection model; moving objects are reported as `object`" in record.message
    ]
    assert {event["event_data"].get("class_name", "object") for event in _events(tmp_path / "out")} == {"object"}


def test_an_unwritable_output_folder_is_reported(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file has the name of the output folder, so that even root cannot create the folder."""
    (tmp_path / "taken").write_text("a file")
    assert _replay(clip, tmp_path / "taken") == 2
    assert str(tmp_path / "taken") in capsys.readouterr().err


def test_a_full_disk_is_reported_without_a_traceback(clip: Path, tmp_path: Path) -> None:
    """A file size limit of a few kilobytes simulates the full disk."""
    limit = 6_000
    out = str(tmp_path / "out")
    command = [sys.executable, "-m", "edge_agent", "replay", str(clip), "--out", out, "--model", "none"]

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    # Coverage would write its data file in the child process and exceed the limit.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_disk, check=False, env=environment)
    assert done.returncode == 2
    assert "cannot write to" in done.stderr
    assert "free disk space" in done.stderr
    assert "Traceback" not in done.stderr


def test_live_sources_are_rejected_with_the_right_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A camera has no end; the error names `edge-agent run`."""
    assert main(["replay", "rtsp://127.0.0.1:1/x", "--out", str(tmp_path), "--model", "none"]) == 2
    assert "edge-agent run" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--detect-every", "0"], ["--detect-every", "x"], ["--start-time", "noon"]])
def test_invalid_option_values_are_rejected(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """argparse names the option and exits with status 2."""
    with pytest.raises(SystemExit) as stopped:
        main(["replay", "x.mp4", "--out", str(tmp_path), *arguments])
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_an_invalid_camera_id_is_rejected(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The id is part of the snapshot path, so path separators are not allowed."""
    assert _replay(clip, tmp_path, "--camera-id", "../x") in {1, 2}
    assert "--camera-id" in capsys.readouterr().err


RULES = """
[[lines]]
name = "middle"
points = [[0.5, 0.0], [0.5, 1.0]]
[[zones]]
name = "left-half"
polygon = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
"""


def test_edge_02_replay_counts_crossings_and_draws_them(clip: Path, tmp_path: Path) -> None:
    """`--rules` needs no MQTT section; two crossings are counted, and the line is drawn on `--video`."""
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES, encoding="utf-8")
    video = tmp_path / "drawn.mp4"
    assert _replay(clip, tmp_path / "out", "--rules", str(rules), "--video", str(video)) == 0
    happened = [event["event_data"] for event in _events(tmp_path / "out") if event["event_type"] == "rule"]
    crossings = [each for each in happened if each["rule"] == "line_crossed"]
    assert [(each["name"], each["direction"], each["count"]) for each in crossings] == [
        ("middle", "left", 1),
        ("middle", "left", 2),
    ]
    assert [each["zone"] for each in happened if each["rule"] == "zone_left"] == ["left-half", "left-half"]
    with av.open(str(video)) as drawn, av.open(str(clip)) as plain:
        pictures = [frame.to_ndarray(format="bgr24") for frame in drawn.decode(video=0)]
        originals = [frame.to_ndarray(format="bgr24") for frame in plain.decode(video=0)]
    assert len(pictures) == len(originals) == 150
    # Frame 60 shows no object, so the line is the only change.
    change = np.abs(pictures[60].astype(int) - originals[60]).max(axis=2)
    assert change[90, 158:163].max() > 80
    assert change[90, 280:300].max() < 40


def test_replay_with_rules_lists_rule_events_in_its_summary(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both the table and the JSON summary count each rule."""
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES, encoding="utf-8")
    assert _replay(clip, tmp_path / "a", "--rules", str(rules)) == 0
    assert "line_crossed middle left" in capsys.readouterr().out
    assert _replay(clip, tmp_path / "b", "--rules", str(rules), "--json") == 0
    assert json.loads(capsys.readouterr().out)["rules"]["line_crossed middle left"] == 2


@pytest.mark.parametrize(("start", "off"), [("2026-11-28T12:00:00Z", False), ("2026-11-30T12:00:00Z", True)])
def test_replay_lists_zones_that_are_off_schedule(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], start: str, off: bool
) -> None:
    """The summary names a weekend zone on a Monday and does not mention it on a Saturday."""
    rules = tmp_path / "rules.toml"
    schedule = 'schedule = [{ days = ["sat", "sun"], start = "08:00", end = "20:00" }]\n'
    rules.write_text(RULES + schedule, encoding="utf-8")
    arguments = ("--rules", str(rules), "--start-time", start)
    assert _replay(clip, tmp_path / "a", *arguments, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["off_schedule"] == (["zone left-half"] if off else [])
    assert ("zone_entered left-half" in summary["rules"]) == (not off)
    assert _replay(clip, tmp_path / "b", *arguments, "--video", str(tmp_path / "b.mp4")) == 0
    assert ("off schedule during the whole recording: zone left-half" in capsys.readouterr().out) == off


def test_an_unsupported_video_format_is_rejected(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name is rejected before the recording is played."""
    assert _replay(clip, tmp_path / "out", "--video", str(tmp_path / "drawn.txt")) == 2
    assert "must end in .mp4" in capsys.readouterr().err
