"""`replay --rules`: a file with the settings of one camera."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.cli.rules_file import load_rules_file
from shared.errors import ConfigurationError

ZONE = 'name = "yard"\npolygon = [[0, 0], [1, 0], [1, 1]]\n'
LINE = 'name = "door"\nstart = [0, 0.5]\nend = [1, 0.5]\n'
FORMS = {
    "zones and lines alone": f"confirm_s = 0.2\n[[zones]]\n{ZONE}[[lines]]\n{LINE}",
    "a camera's settings": f"[events]\nconfirm_s = 0.2\n[[events.zones]]\n{ZONE}[[events.lines]]\n{LINE}[gate]\n",
    "both": f"confirm_s = 0.2\n[[lines]]\n{LINE}[[events.zones]]\n{ZONE}",
    "an agent's file without mqtt": (
        f'[[cameras]]\nid = "other"\n[[cameras]]\nid = "camera-1"\nsource = "rtsp://secret@x/"\n'
        f"[cameras.events]\nconfirm_s = 0.2\n[[cameras.events.zones]]\n{ZONE}[[cameras.events.lines]]\n{LINE}"
    ),
    "an agent's file with one camera": (
        f'site_id = "hq"\n[[cameras]]\nid = "only"\n[cameras.events]\nconfirm_s = 0.2\n'
        f"[[cameras.events.zones]]\n{ZONE}[[cameras.events.lines]]\n{LINE}"
    ),
}


def _read(tmp_path: Path, text: str, camera_id: str = "camera-1"):
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return load_rules_file(path, camera_id=camera_id, source="clip.mp4")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_rules_file_gives_the_same_settings(tmp_path: Path, form: str) -> None:
    """Zones, lines and thresholds are read, and the camera's source is the recording."""
    camera = _read(tmp_path, FORMS[form])
    assert (camera.id, camera.source) == ("camera-1", "clip.mp4")
    assert [zone.name for zone in camera.events.zones] == ["yard"]
    assert [line.name for line in camera.events.lines] == ["door"]
    assert camera.events.confirm_s == 0.2


def test_the_time_zone_of_the_site_is_used(tmp_path: Path) -> None:
    """Schedules are in local time, as on the device."""
    text = 'timezone = "Europe/Bucharest"\n[[cameras]]\nid = "camera-1"\n'
    assert _read(tmp_path, text).events.timezone == "Europe/Bucharest"
    assert _read(tmp_path, 'timezone = "Europe/Bucharest"\n').events.timezone == "Europe/Bucharest"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[zones]]\nname = 'yard'\n", "events.zones[1] (yard).polygon: is missing"),
        ("[[zones]]\nname = 'yard'\npoligon = []\n", "did you mean polygon?"),
        ("[evnts]\n", "evnts: unknown setting; did you mean events?"),
        ("[[zones]]\nname = 'yard '\n", "zones.0.name: ends with white space"),
        ("[[cameras]]\nid = 'a'\n[[cameras]]\nid = 'b'\n", "has no camera camera-1; it has a, b"),
        ("cameras = []\n", "it has none"),
        ("[[zones", "is not valid TOML"),
    ],
)
def test_mistakes_in_a_rules_file_are_reported(tmp_path: Path, text: str, said: str) -> None:
    """The errors are those of an agent configuration."""
    with pytest.raises(ConfigurationError) as refused:
        _read(tmp_path, text)
    assert said in str(refused.value)
