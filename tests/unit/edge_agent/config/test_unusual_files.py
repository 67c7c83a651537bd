"""Configurations as people write them: what is unusual and right is read, what is wrong is named in one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import load_config
from shared.errors import ConfigurationError
from tests.unit.edge_agent.config.test_load import MINIMAL, _load

POLYGON = "[[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]"


@pytest.mark.parametrize("name", ["Hof Süd", "大门", "a/b", "", "x" * 101, "🚗"])
def test_edge_47_a_name_with_other_characters_is_refused_in_words(tmp_path: Path, name: str) -> None:
    """Names of cameras, zones and lines stand in topics and addresses: the error says what they may hold."""
    line = f'lines = [{{ name = "{name}", start = [0, 0.5], end = [1, 0.5] }}]'
    rules = f'[cameras.events]\nzones = [{{ name = "{name}", polygon = {POLYGON} }}]\n{line}\n'
    message = _load(tmp_path, MINIMAL.replace('"camera-1"', f'"{name}"') + rules)
    assert message.count("use 1 to 100 of the letters A-Z and a-z, digits, - and _") == 3
    assert f"(it is '{name}')" in message
    assert "^[" not in message


def test_edge_47_a_folder_may_have_any_name(tmp_path: Path) -> None:
    """The configuration, a source and the state lie in folders with blanks and other scripts."""
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
def test_edge_47_pixels_in_place_of_ratios_are_named(tmp_path: Path, rules: str, place: str, said: str) -> None:
    """The error says where, and that coordinates are shares of the picture."""
    message = _load(tmp_path, f"{MINIMAL}[cameras.events]\n{rules}\n")
    assert place in message
    assert said in message
    assert "0 to 1" in message or "between 0 and 1" in message or "pixels" in message, message


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
def test_edge_47_what_is_no_toml_is_said_with_its_line(tmp_path: Path, text: str, line: str) -> None:
    """Another format, another editor's quotes, a section that is given twice: the file and the line are named."""
    message = _load(tmp_path, text)
    assert f"{tmp_path}/agent.toml is not valid TOML" in message
    assert line in message
    assert "hunter2" not in message


def test_edge_47_a_setting_given_twice_is_named(tmp_path: Path) -> None:
    """TOML does not allow it, and which one was meant cannot be known."""
    message = _load(tmp_path, MINIMAL.replace('site_id = "hq"', 'site_id = "hq"\nsite_id = "yard"'))
    assert "is not valid TOML" in message
    assert "line 3" in message


def test_edge_47_forty_cameras_are_read_and_the_wrong_one_is_named(tmp_path: Path) -> None:
    """A large site in one file; a mistake in one camera names that camera."""
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
