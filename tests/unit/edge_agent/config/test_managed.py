"""Cameras of the API as settings of the agent: names, logins, sensitivity, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import CameraSettings
from edge_agent.config.managed import (
    ManagedCameraRules,
    RejectedConfigurationError,
    camera_settings,
    check_cameras,
    min_score,
)
from edge_agent.detect.settings import DetectSettings
from shared.cameras import DeviceCamera
from shared.clock import ManualClock
from shared.errors import PermanentError
from shared.stream_address import parse_address, split_login

ZONE = {"name": "yard", "polygon": [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]}
PASSWORD = "pass/w@rd:1"


def _open(sealed: str, camera_id: str) -> str:
    if sealed != f"sealed for {camera_id}":
        raise PermanentError("the password was sealed to another key")
    return PASSWORD


RULES = ManagedCameraRules(open_password=_open, timezone="Europe/Berlin")


def _camera(**fields: Any) -> DeviceCamera:
    return DeviceCamera.model_validate({"camera_id": "gate", "source": "rtsp://10.0.0.7:554/live"} | fields)


def _settings(**fields: Any) -> CameraSettings:
    return camera_settings(_camera(**fields), rules=RULES)


def _refusal(*cameras: DeviceCamera) -> str:
    with pytest.raises(RejectedConfigurationError) as refused:
        check_cameras(cameras, rules=RULES, clock=ManualClock())
    return str(refused.value)


def test_a_camera_has_its_settings_and_the_devices_time_zone() -> None:
    """What the API leaves out keeps the agent's default."""
    settings = _settings(settings={"events": {"zones": [ZONE]}, "motion": {"threshold": 30}}, enabled=False)
    assert (settings.id, settings.enabled, settings.mode) == ("gate", False, "tracking")
    assert (settings.events.zones[0].name, settings.events.timezone) == ("yard", "Europe/Berlin")
    assert settings.motion.threshold == 30
    assert settings.source == "rtsp://10.0.0.7:554/live"


def test_the_default_sensitivity_is_the_agents_default() -> None:
    """A camera that is created with the API's default detects as one in the agent's file does."""
    assert _settings().detect == DetectSettings()
    assert _settings(detection_sensitivity=1.0).detect.min_score == 0.1
    assert _settings(detection_sensitivity=0.0).detect.min_score == 0.6
    assert _settings(detection_sensitivity=0.0, settings={"detect": {"min_score": 0.4}}).detect.min_score == 0.4


@given(st.floats(0, 1), st.floats(0, 1))
def test_raising_the_sensitivity_never_raises_the_score(one: float, other: float) -> None:
    """The mapping is monotone and stays within the bounds of the setting."""
    low, high = sorted((one, other))
    assert 0.1 <= min_score(high) <= min_score(low) <= 0.6


def test_without_detection_only_motion_is_reported() -> None:
    """Zones, lines and plates, which need detection, wait in the API, and do not refuse the configuration."""
    lines = [{"name": "gate", "points": [[0, 0.5], [1, 0.5]]}]
    given = {
        "mode": "tracking",
        "events": {"zones": [ZONE], "required_zones": ["yard"], "lines": lines, "confirm_s": 2},
        "anpr": {"enabled": True},
    }
    settings = _settings(enable_detection=False, settings=given)
    assert (settings.mode, settings.events.zones, settings.events.lines, settings.anpr.enabled) == (
        "motion",
        [],
        [],
        False,
    )
    assert settings.events.confirm_s == 2
    assert _settings(settings=given).anpr.enabled


@pytest.mark.parametrize(
    ("login", "source"),
    [
        ({}, "rtsp://10.0.0.7:554/live"),
        ({"username": "admin"}, "rtsp://admin@10.0.0.7:554/live"),
        ({"password_sealed": "sealed for gate"}, "rtsp://:pass%2Fw%40rd%3A1@10.0.0.7:554/live"),
        (
            {"username": "ad:min", "password_sealed": "sealed for gate"},
            "rtsp://ad%3Amin:pass%2Fw%40rd%3A1@10.0.0.7:554/live",
        ),
    ],
)
def test_the_login_is_put_into_the_source(login: dict[str, str], source: str) -> None:
    """User name and password are encoded, so that no character of theirs ends the login."""
    assert _settings(**login).source == source


TEXT = st.characters(exclude_categories=["Cs"])
"""Half of a surrogate pair cannot be encoded, and the API refuses it."""


@given(st.text(TEXT, min_size=1, max_size=40), st.text(TEXT, max_size=40))
def test_every_login_arrives_unchanged(username: str, password: str) -> None:
    """Also with the characters that separate the parts of an address, and in any script."""
    rules = ManagedCameraRules(open_password=lambda *_: password, timezone="UTC")
    settings = camera_settings(_camera(username=username, password_sealed="x"), rules=rules)
    login = split_login(settings.source or "")
    assert (login.address, login.username, login.password) == ("rtsp://10.0.0.7:554/live", username, password)
    assert parse_address(settings.source or "").shown == "rtsp://***@10.0.0.7:554/live"


def test_other_sources_take_no_login() -> None:
    """A file, a USB camera and the synthetic scene are opened as they are written."""
    for source in ("synthetic:gate?seed=2", "usb:0", "/media/clip.mp4"):
        assert _settings(source=source, username="admin", password_sealed="sealed for gate").source == source


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"settings": {"events": {"zones": [{**ZONE, "polygon": [[0, 0], [1, 1], [0.5, 0.5]]}]}}},
            "camera gate: settings.events.zones[0].polygon: the polygon has no area",
        ),
        (
            {"settings": {"events": {"zones": [ZONE, ZONE]}}},
            "camera gate: settings.events: two zones have the name yard",
        ),
        ({"settings": {"motion": {"treshold": 5}}}, "camera gate: settings.motion.treshold: unknown setting"),
        ({"settings": {"model": {"labels": "/etc/passwd"}}}, "camera gate: settings.model.labels: unknown setting"),
        ({"settings": {"detect": {"min_score": 2}}}, "camera gate: settings.detect.min_score:"),
        ({"settings": {"mode": "motion", "anpr": {"enabled": True}}}, "camera gate: settings: anpr needs mode"),
        ({"source": "rtsp://"}, "camera gate: rtsp_url: the address"),
        ({"source": "ftp://host/x"}, "camera gate: rtsp_url: unknown source type ftp://"),
        ({"source": "synthetic:moon"}, "camera gate: rtsp_url:"),
        ({"source": "gst:filesrc ! fakesink"}, "camera gate: rtsp_url: gst: is accepted in the device's own file"),
        ({"password_sealed": "sealed for attic"}, "camera gate: the password was sealed to another key"),
    ],
)
def test_a_problem_is_named_as_the_api_names_it(fields: dict[str, Any], problem: str) -> None:
    """The text begins with the camera and the field of the API."""
    assert problem in _refusal(_camera(**fields))


def test_all_problems_are_reported() -> None:
    """Those of every camera, and slugs that occur twice or differ only in case."""
    said = _refusal(_camera(source="rtsp://"), _camera(camera_id="attic", settings={"mode": "watching"}), _camera())
    assert "two cameras have the slug gate" in said
    assert "camera gate: rtsp_url" in said
    assert "camera attic: settings.mode" in said


@pytest.mark.parametrize(
    "source", ["rtsp://admin:hunter2secret@10.0.0.7/live", "rtsp://10.0.0.7/live?user=a&password=hunter2secret"]
)
def test_an_address_with_a_login_is_refused(source: str) -> None:
    """It would be stored in the open; the error does not repeat it."""
    said = _refusal(_camera(source=source))
    assert "login" in said
    assert "hunter2" not in said


def test_a_problem_never_contains_the_password() -> None:
    """Neither a wrong setting nor a wrong address repeats it, whatever is checked first."""
    for fields in ({"settings": {"mode": "x"}}, {"source": "rtsp://host:99999/x"}, {"source": "rtsp://ho st/x"}):
        said = _refusal(_camera(username="admin", password_sealed="sealed for gate", **fields))
        assert PASSWORD not in said
        assert "pass%2F" not in said


def test_a_source_that_is_away_does_not_refuse_a_configuration() -> None:
    """A missing file or USB camera is found when the camera is started, and judged against its state of before."""
    cameras = [_camera(source="/nowhere/x.mp4"), _camera(camera_id="attic", source="usb:97")]
    assert [camera.id for camera in check_cameras(cameras, rules=RULES, clock=ManualClock())] == ["gate", "attic"]


def test_a_camera_that_is_switched_off_does_not_refuse_a_configuration() -> None:
    """Switching it off is how a person lets other changes pass; it is checked again when it is switched on."""
    bad = {"source": "rtsp://host:99999/x", "settings": {"setting_of_a_later_release": 1}, "password_sealed": "other"}
    off = _camera(camera_id="attic", enabled=False, **bad)
    assert [one.id for one in check_cameras([_camera(), off], rules=RULES, clock=ManualClock())] == ["gate"]
    assert "camera attic" in _refusal(_camera(), off.model_copy(update={"enabled": True}))
