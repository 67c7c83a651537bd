"""Settings that can be found invalid without a connection are rejected with a correction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from edge_agent.cli.check import check_config
from edge_agent.config import ModelPlaces, load_config, source_text
from edge_agent.config.toml_file import read_toml, stray_characters
from edge_agent.transport.endpoints import Host, HostAndPort, HttpUrl
from shared.errors import ConfigurationError
from tests.support.clips import make_clip

CONFIG = """
site_id = "hq"
device_id = "gate-01"
state_dir = "{folder}"
[mqtt]
host = "broker.example"
[[cameras]]
id = "yard"
source = "{folder}/clip.mp4"
{camera}
[cameras.model]
name = "none"
{more}
"""


def _check(folder: Path, *, camera: str = "", more: str = "", change: tuple[str, str] = ("", "")) -> str:
    """Return everything that the check reports, or "" if the configuration can run."""
    clip = folder / "clip.mp4"
    if not clip.exists():
        make_clip(clip, [np.full((90, 160, 3), 90, np.uint8)] * 3, 10.0)
    path = folder / "agent.toml"
    text = CONFIG.format(folder=folder, camera=camera, more=more).replace(*change)
    path.write_text(text, encoding="utf-8")
    try:
        findings = check_config(path, places=ModelPlaces(location=None, cache_dir=folder / "cache"))
    except ConfigurationError as error:
        return str(error)
    return "\n".join(finding.text for finding in findings if not finding.ok)


def test_a_valid_configuration_has_no_problems(tmp_path: Path) -> None:
    """The other tests of this file change one thing in this configuration."""
    assert _check(tmp_path) == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            '[[cameras.events.zones]]\nname = "z"\npolygon = [[0, 0], [1, 0], [1, 1]]\nclasses = ["objekt"]',
            "events.zones (z).classes: the model has no class 'objekt'; did you mean 'object'?",
        ),
        (
            '[[cameras.events.lines]]\nname = "l"\nstart = [0, 0.5]\nend = [1, 0.5]\nclasses = ["car"]',
            "events.lines (l).classes: the model has no class 'car'",
        ),
        (
            '[cameras.anpr]\nenabled = true\nvehicle_classes = ["car"]',
            "anpr.vehicle_classes: the model has no class 'car'",
        ),
    ],
)
def test_edge_48_classes_unknown_to_the_model_are_reported(tmp_path: Path, more: str, said: str) -> None:
    """Classes of zones, lines and plate settings are checked, and the error suggests a similar class."""
    assert said in _check(tmp_path, more=more)


def test_edge_48_zones_without_tracking_are_rejected(tmp_path: Path) -> None:
    """Zones contain tracks, so they need the tracking mode."""
    zone = '[[cameras.events.zones]]\nname = "z"\npolygon = [[0, 0], [1, 0], [1, 1]]'
    assert 'events.zones needs mode = "tracking"' in _check(tmp_path, camera='mode = "motion"', more=zone)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("mqtt://b:1883", "write only the host: b"),
        ("https://b", "write only the host: b"),
        ("b:8883", 'write host = "b" and port = 8883'),
        ("b/path", "not a host name"),
        ("me@b", "not a host name"),
        ("b c", "not a host name"),
        ("300.1.1.1", "not a host name"),
        ("1.2.3", "not a host name"),
        ("b..c", "not a host name"),
        ("-b", "not a host name"),
        ("", "at least 1 character"),
    ],
)
def test_edge_48_invalid_broker_hosts_are_rejected(tmp_path: Path, written: str, said: str) -> None:
    """A URL, a port, a path and a typing mistake are not host names."""
    found = _check(tmp_path, change=('host = "broker.example"', f'host = "{written}"'))
    assert "mqtt.host" in found
    assert said in found


@pytest.mark.parametrize(
    "written",
    ["broker", "a-b_c.example.", "10.0.0.1", "::1", "[fe80::1]", "bröker.example", "x9.iot.eu-central-1.amazonaws.com"],
)
def test_edge_48_valid_hosts_are_accepted(written: str) -> None:
    """Host names, IPv4 and IPv6 addresses, underscores (common in local names) and non-ASCII names are valid."""
    assert TypeAdapter(Host).validate_python(written) == written.strip("[]")


@pytest.mark.parametrize(
    ("adapter", "good", "bad"),
    [
        (HostAndPort, ["a.example", "a.example:8443", "[::1]"], ["a:0", "a:99999", "https://a", "a/b", ":80", ""]),
        (
            HttpUrl,
            ["http://127.0.0.1:9000", "https://s3.example/x"],
            ["127.0.0.1:9000", "ftp://a.example", "http://", "http://a b", "http://u:p@a", "http://a:99999"],
        ),
    ],
)
def test_edge_48_other_endpoints_are_checked(adapter: object, good: list[str], bad: list[str]) -> None:
    """The endpoints of the credentials provider and the object store are checked in the same way."""
    validate = TypeAdapter(adapter).validate_python
    for text in good:
        validate(text)
    for text in bad:
        with pytest.raises(ValidationError):
            validate(text)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("rtsp:///x", "has no host"),
        ("rtsp://camera:99999/x", "a port must be from 1 to 65535"),
        ("rtsp://camera:0/x", "a port must be from 1 to 65535"),
        ("http://", "has no host"),
        ("usb:front", "is not a USB camera"),
        ("gst:videotestsrc", "does not end in appsink"),
        ("synthetic:gait", "no synthetic scene"),
        ("rtps://camera/x", "unknown source type rtps://"),
        ("", "the source is empty"),
        ("missing.mp4", "missing.mp4"),
    ],
)
def test_edge_48_invalid_sources_are_rejected(tmp_path: Path, source: str, said: str) -> None:
    """Cameras are not connected to; files are opened."""
    found = _check(tmp_path, change=(f'source = "{tmp_path}/clip.mp4"', f'source = "{source}"'))
    assert said in found


def test_edge_48_a_file_that_is_not_a_video_is_reported(tmp_path: Path) -> None:
    """The check reports it, before the agent starts."""
    (tmp_path / "notes.mp4").write_text("not a video at all", encoding="utf-8")
    found = _check(tmp_path, change=("clip.mp4", "notes.mp4"))
    assert "notes.mp4" in found


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (('host = "broker.example"', 'host = " broker.example"'), "mqtt.host: begins with white space"),
        (('source = "', 'source = " '), "cameras[1] (yard).source: begins with white space"),
        (('site_id = "hq"', 'site_id = "hq "'), "site_id: ends with white space"),
        (('name = "none"', 'name = "none\\t"'), "cameras[1] (yard).model.name: contains an invisible character"),
        (('host = "broker.example"', 'host = "broker\u200b.example"'), "U+200B, zero width space"),
        (('host = "broker.example"', 'host = "broker.example\u00a0"'), "mqtt.host: ends with white space"),
    ],
)
def test_edge_48_white_space_and_invisible_characters_are_reported(
    tmp_path: Path, change: tuple[str, str], where: str
) -> None:
    """White space is rejected at the ends of a text, and invisible characters anywhere in it."""
    assert where in _check(tmp_path, change=change)


def test_edge_48_byte_order_marks_are_accepted(tmp_path: Path) -> None:
    """Windows editors write them, some in UTF-16; the file, a source and a password are read correctly."""
    path, secret = tmp_path / "agent.toml", tmp_path / "secret"
    secret.write_text("rtsp://camera/x\r\n", encoding="utf-8-sig")
    text = CONFIG.format(folder=tmp_path, camera="", more="").replace(
        f'source = "{tmp_path}/clip.mp4"', f'source_file = "{secret}"'
    )
    text = text.replace("[mqtt]", f'[mqtt]\nusername = "u"\npassword_file = "{secret}"')
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
        config = load_config(path)
        assert source_text(config.cameras[0]) == "rtsp://camera/x"
        password = config.mqtt.read_password()
        assert password is not None
        assert password.get_secret_value() == "rtsp://camera/x"


def test_edge_48_a_file_in_another_encoding_is_reported_with_its_line(tmp_path: Path) -> None:
    """The error names line 3, which contains Latin-1."""
    path = tmp_path / "agent.toml"
    path.write_bytes("# one\n# two\n# Tür\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="line 3 is not UTF-8 text"):
        load_config(path)


_TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cc", "Cf", "Cs"]), max_size=8).map(str.strip)


@given(st.recursive(_TEXTS | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(_TEXTS, inner)))
def test_edge_48_texts_without_stray_characters_are_accepted(data: object) -> None:
    """They are accepted at any depth of nesting."""
    assert list(stray_characters(data)) == []


@pytest.mark.parametrize("written", ["22", "22.5", "true", '"22:00+02:00"', '"22:00Z"'])
def test_edge_48_schedule_times_must_be_local_times(tmp_path: Path, written: str) -> None:
    """A bare number would be read as seconds, and a time with an offset cannot be compared."""
    zone = '[[cameras.events.zones]]\nname = "z"\npolygon = [[0, 0], [1, 0], [1, 1]]\n'
    found = _check(tmp_path, more=f'{zone}schedule = [{{ start = {written}, end = "06:00" }}]')
    assert "schedule[1].start" in found


@pytest.mark.parametrize(
    ("value", "said"), [("[" * 3000 + "]" * 3000, "nested too deeply"), ("1" * 6000, "too many digits")]
)
def test_edge_48_toml_beyond_the_limits_of_python_is_rejected(tmp_path: Path, value: str, said: str) -> None:
    """Thousands of brackets or digits raise a ConfigurationError."""
    path = tmp_path / "agent.toml"
    path.write_text(f"x = {value}\n")
    with pytest.raises(ConfigurationError, match=said):
        read_toml(path)
