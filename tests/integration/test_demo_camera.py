"""The demo's camera is in the API: created once, changed by the command line only, its password sealed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from edge_agent.device.configuration_store import ConfigurationStore, StoredConfiguration
from infra.local.demo.camera import (
    CameraOptions,
    ConfigurationRetry,
    StackDatabase,
    StoredCamera,
    plan_camera,
    store_camera,
)
from infra.local.demo.device import forget_camera
from shared.cameras import DeviceCamera
from tests.support.protected_sites import dump, setting

SECRET = "pl4nted-s3cret"
RULES = '[[zones]]\nname = "yard"\npolygon = [[0.1, 0.5], [0.9, 0.5], [0.9, 1.0]]\n'


class Demo:
    """Starts of the demo on one database."""

    def __init__(self, url: str, folder: Path) -> None:
        self._database = StackDatabase(url=url, master_key=setting(folder))
        self._folder = folder

    def start(self, **options: Any) -> StoredCamera:
        return store_camera(plan_camera(CameraOptions(**options)), self._database)

    def rules(self, text: str = RULES) -> Path:
        path = self._folder / "rules.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._database.url, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def cameras(self) -> dict[str, tuple[str, dict[str, Any]]]:
        rows = self.execute("SELECT slug, rtsp_url, settings FROM cameras WHERE device_id = 'this-machine'")
        return {slug: (address, settings) for slug, address, settings in rows}

    def report(self, *, applied: int, rejected: int | None = None) -> None:
        """Store what the device has reported."""
        value = "NULL" if rejected is None else str(rejected)
        self.execute(f"UPDATE device_configurations SET applied_version = {applied}, rejected_version = {value}")

    def version(self) -> int:
        return self.execute("SELECT version FROM device_configurations WHERE device_id = 'this-machine'")[0][0]


@pytest.fixture
def demo(database_url: str, tmp_path: Path) -> Demo:
    return Demo(database_url, tmp_path)


def test_the_first_start_creates_the_camera(demo: Demo) -> None:
    """The generated scene, with plates; a later start leaves it alone, also after it was changed in the API."""
    first = demo.start()
    assert first == StoredCamera("synthetic:gate", reads_plates=True, is_new_source=True, version_to_prove=1)
    demo.report(applied=1)
    assert demo.start() == StoredCamera("synthetic:gate", reads_plates=True)
    assert demo.cameras() == {"camera-1": ("synthetic:gate", {"anpr": {"enabled": True}})}
    demo.execute("UPDATE cameras SET rtsp_url = 'synthetic:gate?seed=9', settings = '{}'")
    version = demo.version()
    demo.report(applied=version)
    assert demo.start() == StoredCamera("synthetic:gate?seed=9", reads_plates=False)
    assert demo.version() == version


def test_a_deleted_camera_does_not_come_back_beside_others(demo: Demo) -> None:
    """It does if the device has none, or if the command line asks for it."""
    demo.start()
    demo.execute("UPDATE cameras SET slug = 'other', name = 'Other'")
    assert demo.start().shown_source == "those of the API"
    assert set(demo.cameras()) == {"other"}
    demo.start(source="synthetic:gate?seed=2")
    assert set(demo.cameras()) == {"other", "camera-1"}
    demo.execute("DELETE FROM cameras")
    demo.start()
    assert set(demo.cameras()) == {"camera-1"}


def test_the_command_line_changes_what_it_mentions(demo: Demo) -> None:
    """A source keeps the settings, a rules file replaces them, a model and --no-plates change theirs."""
    demo.start(source="synthetic:gate", model="none")
    demo.start(source="synthetic:gate?seed=2")
    assert demo.cameras()["camera-1"] == (
        "synthetic:gate?seed=2",
        {"anpr": {"enabled": True}, "model": {"name": "none"}},
    )
    demo.start(rules=demo.rules())
    address, settings = demo.cameras()["camera-1"]
    assert address == "synthetic:gate?seed=2"
    assert [zone["name"] for zone in settings["events"]["zones"]] == ["yard"]
    assert "model" not in settings
    without = demo.start(plates=False)
    assert (without.reads_plates, without.is_new_source) == (False, False)
    demo.start(model="none")
    assert set(demo.cameras()["camera-1"][1]) == {"events", "model"}


def test_a_file_is_stored_with_its_whole_path(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start may be in another folder."""
    (tmp_path / "a clip.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    demo.start(source="a clip.mp4")
    assert demo.cameras()["camera-1"][0] == str(tmp_path / "a clip.mp4")


def test_a_login_is_stored_sealed(demo: Demo, database_url: str) -> None:
    """It is not in the database in the open, nor in what is shown; the same login again changes nothing."""
    source = f"rtsp://viewer:{SECRET}@camera:554/1"
    plan = plan_camera(CameraOptions(source=source))
    assert SECRET not in repr(plan.settings)
    assert demo.start(source=source).shown_source == "rtsp://camera:554/1"
    assert SECRET not in dump(database_url)
    before = demo.execute("SELECT username, password_sealed, config_version FROM cameras")
    demo.start(source=source)
    assert demo.execute("SELECT username, password_sealed, config_version FROM cameras") == before
    demo.start(source="rtsp://viewer:another@camera:554/1")
    assert demo.version() == 2
    demo.start(source="rtsp://camera:554/1")
    assert demo.execute("SELECT username, password_sealed FROM cameras") == [(None, None)]


@pytest.mark.parametrize(
    ("source", "model", "rules", "reason"),
    [
        ("gst:videotestsrc ! appsink", None, "", "must not be a GStreamer pipeline"),
        ("http://camera/video?user=a&password=pl4nted-s3cret", None, "", "secret in its query or path"),
        ("synthetic:gate", "/models/mine.tflite", "", "model.name"),
        ("synthetic:gate", None, "[track]\nlost_s = 3.0", "track"),
        ("synthetic:gate", None, 'timezone = "Europe/Bucharest"\n' + RULES, None),
    ],
)
def test_what_the_api_does_not_accept_is_pinned(
    demo: Demo, source: str, model: str | None, rules: str, reason: str | None
) -> None:
    """The reason names it, without a secret. The time zone of a rules file is the device's."""
    plan = plan_camera(CameraOptions(source=source, model=model, rules=demo.rules(rules) if rules else None))
    assert (plan.pinned_because is None) == (reason is None)
    assert reason is None or reason in str(plan.pinned_because)
    assert SECRET not in str(plan.pinned_because)
    assert plan.timezone == ("Europe/Bucharest" if reason is None else "UTC" if rules else None)


def test_what_the_command_line_asks_for_is_tried_again(demo: Demo, database_url: str) -> None:
    """Until the device runs it: a camera may be switched on later."""
    retry = ConfigurationRetry(database_url, demo.start().version_to_prove, interval_s=0)
    retry.check()
    assert demo.version() == 1
    demo.report(applied=0, rejected=1)
    retry.check()
    assert demo.version() == 2
    retry.check()
    demo.report(applied=0, rejected=2)
    retry.check()
    assert demo.version() == 3
    demo.report(applied=3)
    retry.check()
    demo.report(applied=2, rejected=3)
    retry.check()
    assert demo.version() == 3


def test_a_change_of_somebody_else_is_not_tried_again(demo: Demo, database_url: str) -> None:
    """A version that was made in the API is for its author to correct, and so is what was there before the start."""
    retry = ConfigurationRetry(database_url, demo.start().version_to_prove, interval_s=0)
    demo.execute("UPDATE cameras SET rtsp_url = 'rtsp://nobody/1'")
    demo.report(applied=1, rejected=2)
    retry.check()
    assert demo.version() == 2
    assert demo.start().version_to_prove is None
    changed = demo.start(source="rtsp://nobody/2")
    assert changed == StoredCamera("rtsp://nobody/2", reads_plates=True, is_new_source=True, version_to_prove=3)


def test_the_agent_does_not_start_with_the_earlier_source(tmp_path: Path) -> None:
    """It would send events of it; the other cameras of its last configuration run at once."""
    store = ConfigurationStore(tmp_path / "agent")
    (tmp_path / "agent").mkdir()
    forget_camera(tmp_path, "camera-1")
    assert store.load() is None
    cameras = [DeviceCamera(camera_id=name, source="synthetic:gate") for name in ("camera-1", "second")]
    store.prepare(StoredConfiguration(version=4, cameras=cameras)).commit()
    forget_camera(tmp_path, "camera-1")
    assert store.load() == StoredConfiguration(version=4, cameras=cameras[1:])
