"""Loading of the agent's TOML file, and its error messages."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from edge_agent.agent import Agent
from edge_agent.cli.check import EXAMPLE
from edge_agent.config import CameraSettings, keeps_pictures, load_config, model_places, source_text
from shared.errors import ConfigurationError

MINIMAL = """
site_id = "hq"
device_id = "gate-01"
[mqtt]
host = "broker.example"
[[cameras]]
id = "camera-1"
source = "rtsp://me:hunter2@camera.example/stream"
"""


def _load(tmp_path: Path, text: str) -> str:
    """Return the error's text, or "" if the file is valid."""
    path = tmp_path / "agent.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load_config(path)
    except ConfigurationError as error:
        return str(error)
    return ""


def test_a_minimal_file_is_valid(tmp_path: Path) -> None:
    """Two ids, a broker host and one camera are required; everything else has a default."""
    path = tmp_path / "agent.toml"
    path.write_text(MINIMAL, encoding="utf-8")
    config = load_config(path)
    assert config.cameras[0].mode == "tracking"
    assert config.mqtt.effective_port == 1883
    assert config.s3 is None


def test_the_example_is_valid(tmp_path: Path) -> None:
    """The configuration that `check --example` prints can be loaded."""
    assert _load(tmp_path, EXAMPLE) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("site_id", "sight_id"), ["sight_id: unknown setting; did you mean site_id?", "site_id: is missing"]),
        (('"gate-01"', '"gate/01"'), ["device_id:", "'gate/01'"]),
        (('id = "camera-1"', 'id = "camera-1"\nmode = "watching"'), ["cameras[1] (camera-1).mode", "'watching'"]),
        (
            ('id = "camera-1"', 'id = "camera-1"\nmotion = { treshold = 3 }'),
            ["cameras[1] (camera-1).motion.treshold: unknown setting; did you mean threshold?"],
        ),
        (
            ('id = "camera-1"', 'id = "camera-1"\nevents = { confirm_s = -1 }'),
            ["cameras[1] (camera-1).events.confirm_s", "(it is -1)"],
        ),
        (("[[cameras]]", "[mqtt.tls_files]\na = 1\n[[cameras]]"), ["mqtt.tls_files: unknown setting"]),
        (('source = "', 'source_env = "X"\nsource = "'), ["source and source_env are set"]),
        (('source = "rtsp://me:hunter2@camera.example/stream"', ""), ["exactly one of source", "none is set"]),
        (
            ('id = "camera-1"', 'id = "camera-1"\nevents = { required_zones = ["yard"] }'),
            ["required_zones names yard, which this camera does not have"],
        ),
        (
            ("[[cameras]]", '[[cameras]]\nid = "camera-1"\nsource = "usb:0"\n[[cameras]]'),
            ["two cameras have the id camera-1"],
        ),
        (("[mqtt]", "[mqtt"), ["is not valid TOML", "line 4"]),
    ],
)
def test_edge_47_errors_name_the_setting_and_the_correction(
    tmp_path: Path, change: tuple[str, str], said: list[str]
) -> None:
    """Each message has the setting's path, and it never contains the camera's password."""
    message = _load(tmp_path, MINIMAL.replace(*change, 1))
    for part in said:
        assert part in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("old", "seconds"),
    [("confirm_sightings = 5", 0.4), ("confirm_sightings = 3\nmin_visit_s = 0.5", 0.5), ("min_visit_s = 2", 2.0)],
)
def test_edge_30_old_names_of_confirm_s_are_accepted_for_one_release(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, old: str, seconds: float
) -> None:
    """Frames become seconds at 10 frames per second, and a warning names the new setting."""
    path = tmp_path / "agent.toml"
    path.write_text(f"{MINIMAL}[cameras.events]\n{old}\n", encoding="utf-8")
    assert load_config(path).cameras[0].events.confirm_s == pytest.approx(seconds)
    assert "replaced by events.confirm_s" in caplog.text
    assert "confirm_s" in _load(tmp_path, f'{MINIMAL}[cameras.events]\nconfirm_sightings = "five"\n')


def test_the_old_name_of_slicing_is_accepted_for_one_release(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`detect.look` sets `detect.slicing`, a warning names the new key, and the new key wins if both are given."""
    path = tmp_path / "agent.toml"
    path.write_text(f"{MINIMAL}[cameras.detect.look]\nenabled = true\nmax_crops = 5\n", encoding="utf-8")
    slicing = load_config(path).cameras[0].detect.slicing
    assert (slicing.enabled, slicing.max_crops) == (True, 5)
    assert "detect.look is replaced by detect.slicing" in caplog.text
    both = f"{MINIMAL}[cameras.detect]\nlook = {{ max_crops = 5 }}\nslicing = {{ max_crops = 3 }}\n"
    path.write_text(both, encoding="utf-8")
    assert load_config(path).cameras[0].detect.slicing.max_crops == 3
    assert "slicing" in _load(tmp_path, f"{MINIMAL}[cameras.detect]\nlook = 7\n")


def test_the_time_zone_of_the_site_is_the_default_of_its_cameras(tmp_path: Path) -> None:
    """A camera can override it, and an unknown time zone is rejected."""
    path = tmp_path / "agent.toml"
    own = '[[cameras]]\nid = "b"\nsource = "usb:0"\nevents = { timezone = "Asia/Kolkata" }\n'
    path.write_text(f'timezone = "Europe/Bucharest"\n{MINIMAL}{own}', encoding="utf-8")
    assert [camera.events.timezone for camera in load_config(path).cameras] == ["Europe/Bucharest", "Asia/Kolkata"]
    assert "not a time zone known to this machine" in _load(tmp_path, f'timezone = "Europe/Bukarest"\n{MINIMAL}')


TRIANGLE = "polygon = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ('zones = [{ name = "a", polygon = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.1]] }]', "(a).polygon: the polygon has no"),
        ('zones = [{ name = "a", polygon = [[0.1, 0.1], [0.1, 0.1], [0.1, 0.1]] }]', "(a).polygon: the polygon has no"),
        (f'zones = [{{ name = "a", {TRIANGLE} }}, {{ name = "a", {TRIANGLE} }}]', "two zones have the name a"),
        ('lines = [{ name = "l", start = [0.5, 0.5], end = [0.5, 0.5] }]', "two consecutive points are the same"),
        ('lines = [{ name = "l", points = [[0.5, 0.5]] }]', "needs at least two points"),
        ('lines = [{ name = "l" }]', "set either points, or start and end"),
        ('lines = [{ name = "l", points = [[0, 0], [1, 1]], start = [0, 1] }]', "set either points, or start and end"),
        (f'zones = [{{ name = "a", {TRIANGLE}, loitering_s = 5, loitering.after_s = 5 }}]', "not both"),
        (f'zones = [{{ name = "a", {TRIANGLE}, occupancy = {{}} }}]', "set over, under, or both"),
        (f'zones = [{{ name = "a", {TRIANGLE}, occupancy = {{ over = 2, under = 5 }} }}]', "overlap"),
        (f'zones = [{{ name = "a", {TRIANGLE}, schedule = [{{ days = ["monday"] }}] }}]', "days"),
        (f'zones = [{{ name = "a", {TRIANGLE}, schedule = [{{ start = "25:00" }}] }}]', "start"),
        (
            f'zones = [{{ name = "a", {TRIANGLE}, schedule = [{{ start = "24:00" }}] }}]',
            "24:00 is valid only as an end",
        ),
        ('counters_reset_at = ["24:00"]', 'write "00:00"'),
        (f'zones = [{{ name = "a", {TRIANGLE} }}, {{ name = "A", {TRIANGLE} }}]', "two zones have the name a and A"),
        (f'zones = [{{ name = "a", {TRIANGLE}, loitering_s = true }}]', "loitering_s cannot be true or false"),
    ],
)
def test_edge_48_invalid_rules_are_rejected(tmp_path: Path, rules: str, said: str) -> None:
    """Shapes without area or length, duplicate names and contradictory settings are each reported."""
    assert said in _load(tmp_path, f"{MINIMAL}[cameras.events]\n{rules}\n")


def test_a_schedule_can_end_at_24_00(tmp_path: Path) -> None:
    """24:00 means 00:00 of the next day."""
    path = tmp_path / "agent.toml"
    zone = f'{{ name = "a", {TRIANGLE}, schedule = [{{ start = "18:00", end = "24:00" }}] }}'
    path.write_text(f"{MINIMAL}[cameras.events]\nzones = [{zone}]\n", encoding="utf-8")
    assert load_config(path).cameras[0].events.zones[0].schedule[0].end == time(0, 0)


def test_edge_47_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """Four mistakes in one file give four lines."""
    message = _load(tmp_path, MINIMAL.replace("site_id", "sight_id").replace('host = "broker.example"', "port = 0"))
    assert message.count("\n  - ") == 4


def test_a_missing_file_error_names_check_example(tmp_path: Path) -> None:
    """The error names the command that prints an example."""
    with pytest.raises(ConfigurationError, match="check --example"):
        load_config(tmp_path / "nothing.toml")


def test_edge_47_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    """The path is a folder, or the file is not text."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"bytes\.toml cannot be read"):
        load_config(tmp_path / "bytes.toml")


def test_sources_are_read_from_settings_environment_and_files(tmp_path: Path) -> None:
    """Only the first line of a file is used."""
    secret = tmp_path / "camera.url"
    secret.write_text("rtsp://a:b@c/d\n# the old one: rtsp://x\n", encoding="utf-8")
    assert source_text(CameraSettings(id="c", source="usb:0")) == "usb:0"
    assert source_text(CameraSettings(id="c", source_env="CAM"), {"CAM": " usb:1 "}) == "usb:1"
    assert source_text(CameraSettings(id="c", source_file=secret)) == "rtsp://a:b@c/d"


def test_missing_sources_are_reported(tmp_path: Path) -> None:
    """The error names the camera, and the environment variable or the file."""
    with pytest.raises(ConfigurationError, match="camera c: the environment variable CAM is not set"):
        source_text(CameraSettings(id="c", source_env="CAM"), {})
    with pytest.raises(ConfigurationError, match="camera c: source_file"):
        source_text(CameraSettings(id="c", source_file=tmp_path / "nothing"))
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigurationError, match="first line"):
        source_text(CameraSettings(id="c", source_file=tmp_path / "empty"))


def test_model_location_of_the_configuration_takes_precedence() -> None:
    """It precedes VEDETTE_MODELS; the cache is in the user's cache folder."""
    environment = {"VEDETTE_MODELS": "/models", "XDG_CACHE_HOME": "/cache"}
    assert model_places("/here", environment).location == "/here"
    places = model_places(None, environment)
    assert (places.location, places.cache_dir) == ("/models", Path("/cache/vedette/models"))
    assert model_places(None, {"VEDETTE_MODELS": ""}).location is None


def test_the_environment_may_switch_pictures_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENABLE_SNAPSHOTS is obeyed by the agent; another word than true or false prevents its start."""
    given = {"": True, "true": True, " YES ": True, "1": True, "false": False, "Off": False, "0": False}
    assert {text: keeps_pictures({"ENABLE_SNAPSHOTS": text}) for text in given} == given
    path = tmp_path / "agent.toml"
    path.write_text(f'state_dir = "{tmp_path}"\n{MINIMAL}', encoding="utf-8")
    monkeypatch.setenv("ENABLE_SNAPSHOTS", "sometimes")
    with pytest.raises(ConfigurationError, match="ENABLE_SNAPSHOTS must be true or false"):
        Agent(path)


WITHOUT_CAMERAS = """
site_id = "hq"
device_id = "gate-01"
[mqtt]
host = "broker.example"
"""


@pytest.mark.parametrize(
    ("text", "is_managed"),
    [
        (WITHOUT_CAMERAS, True),
        (WITHOUT_CAMERAS.replace("[mqtt]", "managed = true\n[mqtt]"), True),
        (MINIMAL, False),
        (MINIMAL.replace("[mqtt]", "managed = false\n[mqtt]"), False),
        (MINIMAL.replace("[mqtt]", "managed = true\n[mqtt]"), True),
    ],
)
def test_a_device_without_cameras_of_its_own_is_managed(tmp_path: Path, text: str, is_managed: bool) -> None:
    """Two ids and a broker are enough then; with cameras, the API configures others only where the file says so."""
    path = tmp_path / "agent.toml"
    path.write_text(text, encoding="utf-8")
    assert load_config(path).is_managed is is_managed


def test_a_device_without_any_cameras_is_refused(tmp_path: Path) -> None:
    """Nobody could give it one."""
    said = _load(tmp_path, WITHOUT_CAMERAS.replace("[mqtt]", "managed = false\n[mqtt]"))
    assert "no [[cameras]] are listed; list one, or remove managed = false" in said
