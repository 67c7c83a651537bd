"""Unusual but valid configurations are loaded, and common mistakes are reported clearly."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import load_config
from shared.errors import ConfigurationError
from tests.unit.edge_agent.config.test_load import MINIMAL, _load

POLYGON = "[[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]"


@pytest.mark.parametrize("name", ["Hof Süd", "大门", "a/b", "", "x" * 101, "🚗"])
def test_edge_47_a_name_with_invalid_characters_is_rejected(tmp_path: Path, name: str) -> None:
    """Names are part of topics and paths; the error lists the valid characters."""
    line = f'lines = [{{ name = "{name}", start = [0, 0.5], end = [1, 0.5] }}]'
    rules = f'[cameras.events]\nzones = [{{ name = "{name}", polygon = {POLYGON} }}]\n{line}\n'
    message = _load(tmp_path, MINIMAL.replace('"camera-1"', f'"{name}"') + rules)
    assert message.count("use 1 to 100 of the letters A-Z and a-z, digits, - and _") == 3
    assert f"(it is '{name}')" in message
    assert "^[" not in message


def test_edge_47_folder_names_can_contain_any_characters(tmp_path: Path) -> None:
    """The configuration, a source and the state are in a folder with spaces and other scripts in its name."""
    folder = tmp_path / "Überwachung 大门 #1"
    folder.mkdir()
    path = folder / "agent.toml"
    text = MINIMAL.replace("rtsp://me:hunter2@camera.example/stream", f"{folder}/clip 1.mp4")
    path.write_text(f'state_dir = "{folder}/state"\n{text}', encoding="utf-8")
    config = load_config(path)
    assert config.cameras[0].source == f"{folder}/clip 1.mp4"
    assert config.state_dir == folder / "state"


@pytest.mark.parametrize(
    ("rules", "place", "said"),
    [
        ("zones = [{ name = 'a', polygon = [[0, 0], [640, 0], [640, 480]] }]", "zones[1]", "640"),
        ("zones = [{ name = 'a', polygon = [[0.1, 0.1], [0.9, 0.1], [50, 90]] }]", "zones[1]", "50"),
        ("lines = [{ name = 'l', start = [0, 240], end = [1, 0.5] }]", "lines[1]", "240"),
    ],
)
def test_edge_47_pixel_coordinates_are_rejected(tmp_path: Path, rules: str, place: str, said: str) -> None:
    """The error names the shape, the value and the limit of 1."""
    message = _load(tmp_path, f"{MINIMAL}[cameras.events]\n{rules}\n")
    assert place in message
    assert said in message
    assert "less than or equal to 1" in message, message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("site_id: hq\ndevice_id: gate-01\n", "line 1"),
        ('{"site_id": "hq"}', "line 1"),
        (MINIMAL.replace('"hq"', "\u201chq\u201d"), "line 2"),
        (MINIMAL.replace('"gate-01"', "gate-01"), "line 3"),
        (MINIMAL.replace('"gate-01"', '"gate-01'), "line 3"),
        (MINIMAL + "[mqtt]\n", "mqtt"),
    ],
    ids=["YAML", "JSON", "smart quotes", "no quotes", "one quote", "a section twice"],
)
def test_edge_47_invalid_toml_is_reported_with_its_line(tmp_path: Path, text: str, line: str) -> None:
    """Other formats, typographic quotes and duplicate sections are errors with the file and the line."""
    message = _load(tmp_path, text)
    assert f"{tmp_path}/agent.toml is not valid TOML" in message
    assert line in message
    assert "hunter2" not in message


def test_edge_47_a_duplicate_setting_is_rejected(tmp_path: Path) -> None:
    """TOML does not allow duplicate keys, and the error names the line."""
    message = _load(tmp_path, MINIMAL.replace('site_id = "hq"', 'site_id = "hq"\nsite_id = "yard"'))
    assert "is not valid TOML" in message
    assert "line 3" in message


def test_edge_47_an_error_in_one_of_forty_cameras_names_that_camera(tmp_path: Path) -> None:
    """The valid file with forty cameras is loaded."""
    head = MINIMAL.partition("[[cameras]]")[0]
    cameras = [f'[[cameras]]\nid = "camera-{n}"\nsource = "rtsp://10.0.0.{n}/1"\n' for n in range(1, 41)]
    path = tmp_path / "agent.toml"
    path.write_text(head + "".join(cameras), encoding="utf-8")
    assert [camera.id for camera in load_config(path).cameras] == [f"camera-{n}" for n in range(1, 41)]
    cameras[26] = cameras[26].replace("source", "sauce")
    path.write_text(head + "".join(cameras), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"cameras\[27\] \(camera-27\)\.sauce: .* did you mean source\?"):
        load_config(path)
    cameras[26] = cameras[5]
    path.write_text(head + "".join(cameras), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="two cameras have the id camera-6"):
        load_config(path)
