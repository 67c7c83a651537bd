"""What the demo is made of: lines for people, a configuration for the agent, sources that are checked."""

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
from infra.local.demo.demo import camera_settings, check_source
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


@pytest.mark.parametrize(
    ("event_type", "data", "said"),
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
def test_every_kind_of_event_has_its_line(event_type: str, data: dict[str, object], said: str) -> None:
    """Time, camera and what happened stand in one line."""
    line = _line(event_type, data)
    assert said in line
    assert "camera-1" in line
    assert "\n" not in line


def test_every_event_type_has_a_line_of_its_own() -> None:
    """The console's table is as long as the contract's list."""
    assert set(EVENT_TYPES) <= set(DESCRIPTIONS)
    assert set(EVENT_TYPES) <= set(STYLES)


def test_a_picture_is_named_by_its_address() -> None:
    """The line ends in where the picture is, if there is one."""
    assert _line("motion", {}, snapshot_path="a.jpg").endswith("http://127.0.0.1:8069/api/events/7/snapshot")
    assert "http" not in _line("motion", {})


def test_a_time_that_is_none_is_shown_as_it_is() -> None:
    """Nothing about an event's time can keep it from being shown."""
    assert _line("motion", {}, timestamp="soon").startswith("soon")


def test_the_agent_takes_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is what the agent's own loader accepts, and the source is not in it."""
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


def test_odd_paths_survive_the_configuration(tmp_path: Path) -> None:
    """Quotes, backslashes and umlauts in the state folder's name are quoted as TOML wants it."""
    odd = tmp_path / 'Käfer "x\\y'
    odd.mkdir()
    (odd / "agent.toml").write_text(agent_toml(URLS, state=odd), encoding="utf-8")
    assert load_config(odd / "agent.toml").state_dir == odd


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
def test_the_demo_takes_rules(tmp_path: Path, form: str) -> None:
    """Zones and lines of a rules file reach the demo's agent as they were written, and its source does not."""
    rules = tmp_path / "rules.toml"
    rules.write_text(form, encoding="utf-8")
    camera = camera_settings("synthetic:gate", model=None, plates=True, rules=rules)
    agent_process(URLS, folder=tmp_path, source="synthetic:gate", camera=camera)
    (got,) = load_config(tmp_path / "agent" / "agent.toml").cameras
    wanted = load_rules_file(rules, camera_id="camera-1", source="synthetic:gate")
    assert got.events == wanted.events
    assert got.events.zones[0].name == "yard"
    assert (got.source, got.source_env, got.model.name, got.anpr.enabled) == (None, SOURCE_VARIABLE, None, True)


@pytest.mark.parametrize(
    ("source", "model", "rules", "wanted"),
    [
        ("synthetic:gate", None, "", None),
        ("synthetic:gate", "efficientdet_lite0", "", "efficientdet_lite0"),
        ("synthetic:gate", None, '[model]\nname = "mine"', "mine"),
        ("rtsp://camera/1", None, "", None),
        ("rtsp://camera/1", "other", '[model]\nname = "mine"', "other"),
    ],
)
def test_the_demo_takes_the_model_that_is_named(
    tmp_path: Path, source: str, model: str | None, rules: str, wanted: str | None
) -> None:
    """By the option, else by the rules file; without either the agent decides."""
    (tmp_path / "rules.toml").write_text(rules, encoding="utf-8")
    settings = camera_settings(source, model=model, plates=False, rules=tmp_path / "rules.toml")
    assert settings.get("model", {}).get("name") == wanted


def test_the_demo_reads_no_plates_without_tracking(tmp_path: Path) -> None:
    """Plates are read over tracks, so a camera whose rules ask for motion alone is not given them."""
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
def test_values_survive_toml(value: object) -> None:
    """Whatever JSON can say but null reads back from TOML as it was."""
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value


@pytest.mark.parametrize(
    "source", ["synthetic:gate", "rtsp://camera/1", "usb:0", "gst:videotestsrc ! appsink", __file__]
)
def test_sources_that_the_agent_is_left_to_judge(source: str) -> None:
    """Everything that is not a missing file passes."""
    check_source(source)


def test_edge_26_a_file_is_found_as_the_agent_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the home folder, behind ``file:``, and under a name that only looks like an address or an option."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("clip.mp4", "file:odd.mp4", "a:b|c #1?%20 名.mp4", "-"):
        (tmp_path / name).write_bytes(b"x")
        check_source(name)
    for source in ("~/clip.mp4", "file:clip.mp4", "file:~/clip.mp4", f"file://{tmp_path}/clip.mp4"):
        check_source(source)


def test_edge_26_what_is_no_file_is_said_to_be_none(tmp_path: Path) -> None:
    """A folder and a named pipe are there, and yet no recordings."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="is a folder; name a video file in it"):
        check_source(str(tmp_path))
    with pytest.raises(ConfigurationError, match="pipe is not a regular file"):
        check_source(str(tmp_path / "pipe"))


def test_a_missing_file_is_named() -> None:
    """A file that is not there is an error before anything starts."""
    with pytest.raises(ConfigurationError, match=r"no file missing\.mp4"):
        check_source("missing.mp4")


def test_a_log_is_printed_line_by_line(tmp_path: Path) -> None:
    """Only complete lines, only new ones, each once."""
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
