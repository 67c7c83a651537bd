"""The demo prints a line for each event, writes the agent's configuration, and checks the source."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.cli.rules_file import load_rules_file
from edge_agent.config import load_config, source_text
from infra.local.demo.agent import LogTail
from infra.local.demo.camera import camera_settings
from infra.local.demo.demo import check_source
from infra.local.demo.device import SOURCE_VARIABLE, StackUrls, agent_process, agent_toml
from infra.local.demo.event_lines import DESCRIPTIONS, STYLES, event_line
from infra.local.demo.toml_text import toml_value
from shared.errors import ConfigurationError
from shared.event_types import EVENT_TYPES

URLS = StackUrls(broker="mqtt://127.0.0.1:1899", aws="http://127.0.0.1:4566")


def _line(event_type: str, data: dict[str, object], **fields: object) -> str:
    event = {
        "id": 7,
        "event_type": event_type,
        "camera_id": "camera-1",
        "timestamp": "2026-11-20T10:30:45.123456Z",
        "event_data": data,
        "snapshot_path": None,
        **fields,
    }
    return event_line(event, api_url="http://127.0.0.1:8069").plain


def test_a_device_does_not_write_to_the_terminal() -> None:
    """A terminal obeys escapes in what it shows; the words of an event are the device's."""
    data: dict[str, object] = {
        "class_name": "car\x1b[2J\n",
        "track_id": 3,
        "tracking_action": "entered",
        "confidence": 0.9,
    }
    line = _line("tracking", data, camera_id="front\x1b[31m", timestamp="\x1b]0;title\x07")
    assert line.isprintable()
    assert "car\\x1b[2J\\n 3 entered" in line


@pytest.mark.parametrize(
    ("event_type", "data", "description"),
    [
        (
            "tracking",
            {"class_name": "car", "track_id": 3, "tracking_action": "entered", "confidence": 0.914},
            "car 3 entered, 91%",
        ),
        (
            "tracking",
            {"class_name": "car", "track_id": 3, "tracking_action": "left", "dwell_time_seconds": 4.25},
            "car 3 left after 4.2 s",
        ),
        ("motion", {"affected_area_percentage": 12.34}, "motion began, 12.3 % of the picture"),
        ("motion", {"duration_seconds": 3.0}, "motion ended after 3.0 s"),
        ("anpr", {"anpr_result": {"license_plate": "B-AB 123", "confidence": 0.8}}, "plate B-AB 123, 80%"),
        (
            "anpr",
            {"anpr_result": {"license_plate": "HZ45GCK", "confidence": 0.97}, "direction": "receding"},
            "plate HZ45GCK, 97%, receding",
        ),
        (
            "plate_match",
            {
                "anpr_result": {"license_plate": "HZ45GCK", "confidence": 0.97},
                "watchlist_matches": [{"watchlist": "stolen"}, {"watchlist": "banned"}, {"watchlist": "stolen"}],
            },
            "plate HZ45GCK is on banned, stolen",
        ),
        ("plate_match", {"anpr_result": {"license_plate": "B1"}}, "plate B1 is on a watch-list"),
        ("detection", {"detections": [{"class_name": "dog", "confidence": 0.5}]}, "dog 50%"),
        ("camera_status", {"status": "offline", "error": "no route"}, "camera offline: no route"),
        ("snapshot", {}, "snapshot"),
        ("snapshot", {"error": "no picture yet"}, "no snapshot: no picture yet"),
        (
            "rule",
            {
                "rule": "line_crossed",
                "name": "gate",
                "direction": "right",
                "class_name": "car",
                "track_id": 3,
                "count": 12,
            },
            "car 3 crossed gate to the right (number 12)",
        ),
        (
            "rule",
            {"rule": "zone_entered", "name": "yard", "class_name": "dog", "track_id": 4},
            "dog 4 entered zone yard",
        ),
        (
            "rule",
            {"rule": "zone_left", "name": "yard", "class_name": "dog", "track_id": 4, "dwell_s": 3.25},
            "dog 4 left zone yard after 3.2 s",
        ),
        (
            "rule",
            {"rule": "loitering", "name": "yard", "class_name": "dog", "track_id": 4, "dwell_s": 60.04},
            "dog 4 loiters in yard, 60 s",
        ),
        (
            "rule",
            {"rule": "occupancy", "name": "hall", "direction": "over", "count": 6},
            "6 in zone hall, over the limit",
        ),
        ("rule", {"rule": "tamper", "name": "camera"}, "tamper camera"),
    ],
)
def test_an_event_is_described_in_one_line(event_type: str, data: dict[str, object], description: str) -> None:
    """The line contains the camera and a description of the event."""
    line = _line(event_type, data)
    assert description in line
    assert "camera-1" in line
    assert "\n" not in line


def test_every_event_type_has_a_description_and_a_style() -> None:
    """The tables of the console cover all event types of the contract."""
    assert set(EVENT_TYPES) <= set(DESCRIPTIONS)
    assert set(EVENT_TYPES) <= set(STYLES)


def test_the_line_ends_with_the_address_of_the_snapshot() -> None:
    """An event without a snapshot has no address."""
    assert _line("motion", {}, snapshot_path="a.jpg").endswith("http://127.0.0.1:8069/api/events/7/snapshot")
    assert "http" not in _line("motion", {})


def test_an_invalid_time_is_shown_unchanged() -> None:
    """An event with any timestamp is shown."""
    assert _line("motion", {}, timestamp="soon").startswith("soon")


def test_the_agent_accepts_the_written_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file does not contain the source, which may have a password; an environment variable contains it."""
    secret = "rtsp://me:secret@camera/stream"
    camera = camera_settings(secret, model="none", plates=True, rules=None)
    agent_process(URLS, folder=tmp_path, source=secret, camera=camera)
    path = tmp_path / "agent" / "agent.toml"
    assert "secret" not in path.read_text(encoding="utf-8")
    config = load_config(path)
    assert (config.mqtt.port, config.cameras[0].model.name) == (1899, "none")
    assert config.cameras[0].anpr.enabled
    assert config.s3 is not None
    assert config.s3.endpoint_url == URLS.aws
    monkeypatch.setenv(SOURCE_VARIABLE, secret)
    assert source_text(config.cameras[0]) == secret


def test_special_characters_in_the_state_folder_are_escaped(tmp_path: Path) -> None:
    """The name of the folder may contain quotes, backslashes and umlauts."""
    folder = tmp_path / 'Käfer "x\\y'
    folder.mkdir()
    (folder / "agent.toml").write_text(agent_toml(URLS, state=folder, pinned={}), encoding="utf-8")
    assert load_config(folder / "agent.toml").state_dir == folder


def test_without_a_source_the_agent_has_the_cameras_of_the_api(tmp_path: Path) -> None:
    """The written file says only where the agent is, and the time zone of a rules file. It replaces an earlier one."""
    agent_process(URLS, folder=tmp_path, source="synthetic:gate", camera={"motion_events": False})
    path = tmp_path / "agent" / "agent.toml"
    pinned = load_config(path)
    assert (pinned.is_managed, [camera.id for camera in pinned.cameras]) == (True, ["camera-1"])
    agent_process(URLS, folder=tmp_path, timezone="Europe/Bucharest")
    config = load_config(path)
    assert (config.is_managed, config.cameras, config.timezone) == (True, [], "Europe/Bucharest")
    agent_process(URLS, folder=tmp_path)
    assert load_config(path).timezone == "Europe/Bucharest"


AGENT_FILE = """
[[cameras]]
id = "camera-1"
source = "other.mp4"

[cameras.events]
"""
RULES = """
timezone = "Europe/Bucharest"
required_zones = ["yard"]

[[zones]]
name = "yard"
polygon = [[0.1, 0.5], [0.9, 0.5], [0.9, 1.0]]
loitering = { after_s = 60, again_after_s = 300 }
occupancy = { over = 3 }
schedule = [{ days = ["mon", "fri"], start = "18:00", end = "06:00" }]

[[lines]]
name = "gate"
points = [[0.5, 1.0], [0.5, 0.4]]
direction = "right"
"""


@pytest.mark.parametrize("form", [RULES, AGENT_FILE + RULES.replace("\n[[", "\n[[cameras.events.")])
def test_the_demo_uses_the_rules_file(tmp_path: Path, form: str) -> None:
    """The agent's configuration contains the zones and lines of the file, but not its source."""
    rules = tmp_path / "rules.toml"
    rules.write_text(form, encoding="utf-8")
    camera = camera_settings("synthetic:gate", model=None, plates=True, rules=rules)
    agent_process(URLS, folder=tmp_path, source="synthetic:gate", camera=camera)
    (written,) = load_config(tmp_path / "agent" / "agent.toml").cameras
    expected = load_rules_file(rules, camera_id="camera-1", source="synthetic:gate")
    assert written.events == expected.events
    assert written.events.zones[0].name == "yard"
    assert (written.source, written.source_env) == (None, SOURCE_VARIABLE)
    assert (written.model.name, written.anpr.enabled) == (None, True)


@pytest.mark.parametrize(
    ("source", "model", "rules", "expected"),
    [
        ("synthetic:gate", None, "", None),
        ("synthetic:gate", "efficientdet_lite0", "", "efficientdet_lite0"),
        ("synthetic:gate", None, '[model]\nname = "mine"', "mine"),
        ("rtsp://camera/1", None, "", None),
        ("rtsp://camera/1", "other", '[model]\nname = "mine"', "other"),
    ],
)
def test_the_demo_uses_the_model_of_the_option_or_the_rules_file(
    tmp_path: Path, source: str, model: str | None, rules: str, expected: str | None
) -> None:
    """The option takes precedence over the file. Without either, the agent chooses a model."""
    (tmp_path / "rules.toml").write_text(rules, encoding="utf-8")
    settings = camera_settings(source, model=model, plates=False, rules=tmp_path / "rules.toml")
    assert settings.get("model", {}).get("name") == expected


def test_the_demo_reads_no_plates_without_tracking(tmp_path: Path) -> None:
    """Plates are read for tracks, so plate reading is not enabled for a camera that only detects motion."""
    (tmp_path / "rules.toml").write_text('mode = "motion"', encoding="utf-8")
    assert "anpr" not in camera_settings("clip.mp4", model=None, plates=True, rules=tmp_path / "rules.toml")


@given(
    st.recursive(
        st.text(st.characters(exclude_categories=["Cs"]))
        | st.integers(-(2**63), 2**63 - 1)
        | st.booleans()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_values_survive_a_round_trip_through_toml(value: object) -> None:
    """This holds for every JSON value except null."""
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value


@pytest.mark.parametrize(
    "source", ["synthetic:gate", "rtsp://camera/1", "usb:0", "gst:videotestsrc ! appsink", __file__]
)
def test_a_source_that_is_not_a_missing_file_is_accepted(source: str) -> None:
    """The agent checks the rest."""
    check_source(source)


def test_edge_26_a_file_is_resolved_as_by_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~``, ``file:``, and names that only look like a URL or an option are supported."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("clip.mp4", "file:odd.mp4", "a:b|c #1?%20 名.mp4", "-"):
        (tmp_path / name).write_bytes(b"x")
        check_source(name)
    for source in ("~/clip.mp4", "file:clip.mp4", "file:~/clip.mp4", f"file://{tmp_path}/clip.mp4"):
        check_source(source)


def test_edge_26_a_path_that_is_not_a_regular_file_is_rejected(tmp_path: Path) -> None:
    """A folder and a named pipe are not recordings."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="is a folder; name a video file in it"):
        check_source(str(tmp_path))
    with pytest.raises(ConfigurationError, match="pipe is not a regular file"):
        check_source(str(tmp_path / "pipe"))


def test_a_missing_file_is_reported_by_name() -> None:
    """The error is raised before anything starts."""
    with pytest.raises(ConfigurationError, match=r"no file missing\.mp4"):
        check_source("missing.mp4")


def test_new_lines_of_a_log_are_returned_once(tmp_path: Path) -> None:
    """Only complete lines are returned."""
    path = tmp_path / "a.log"
    path.write_text("old\n", encoding="utf-8")
    tail = LogTail(path)
    assert tail.added() == []
    with path.open("a", encoding="utf-8") as log:
        log.write("one\ntw")
        log.flush()
        assert tail.added() == ["one"]
        log.write("o\n")
        log.flush()
        assert tail.added() == ["two"]
    assert LogTail(tmp_path / "missing.log").added() == []
