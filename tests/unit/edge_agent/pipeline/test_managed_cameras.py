"""The cameras of a managed device: configurations are applied, proved, rolled back, and kept on disk."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config import CameraSettings, ModelPlaces
from edge_agent.config.managed import ManagedCameraRules
from edge_agent.device.commands import CommandFailedError, InProgressError
from edge_agent.device.configuration_store import FILE_NAME, ConfigurationStore
from edge_agent.pipeline.context import DeviceContext
from edge_agent.pipeline.managed_cameras import ManagedCameras
from edge_agent.pipeline.supervisor import Cameras
from shared.clock import ManualClock
from shared.commands import ConfigureCommand
from shared.errors import ConfigurationError, PermanentError
from shared.ids import Uuid7Generator
from tests.support.edge.builders import frame
from tests.support.edge.fake_source import FakeSource
from tests.support.waiting import eventually

REFUSED = "connection refused; check host and port"


class Device:
    """A managed device whose sources work, unless ``faults`` names an error for one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.faults: dict[str, str | Exception] = {}
        self.opened: list[str] = []
        self.sources: dict[str, FakeSource] = {}
        self.key_is_lost = False
        self.step_s = 0.5
        """Seconds that pass each time that the outcome of a configuration is asked for."""
        self.changes = 0
        self.numbers = itertools.count(1)
        self.cameras = Cameras(
            device=DeviceContext(site_id="hq", device_id="gate-01", publish=lambda _: None, new_id=Uuid7Generator()),
            places=ModelPlaces(location=None, cache_dir=Path("/nonexistent")),
            clock=self.clock,
            open_source=self._open,
        )
        self.managed = ManagedCameras(
            cameras=self.cameras,
            rules=ManagedCameraRules(open_password=self._open_password, timezone="UTC"),
            store=ConfigurationStore(folder),
            clock=self.clock,
            on_change=self._count,
        )

    def _open_password(self, sealed: str, camera_id: str) -> str:
        if self.key_is_lost:
            raise PermanentError("the password was sealed to another key")
        return sealed

    def _open(self, text: str, **_: Any) -> FakeSource:
        self.opened.append(text)
        fault = self.faults.get(text)
        if isinstance(fault, Exception):
            raise fault
        source = self.sources[text] = FakeSource([] if fault else [frame(1, seed=1)])
        if fault:
            source.state, source.error = "offline", fault
        return source

    def _count(self) -> None:
        self.changes += 1

    def start(self, *pinned: CameraSettings) -> Device:
        self.managed.start(pinned)
        return self

    def close(self) -> None:
        self.managed.close()
        self.cameras.stop()

    def begin(self, version: int, *cameras: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        """Send a configuration; the result waits for its outcome, as the dispatcher does, and returns the fields."""
        command = ConfigureCommand.model_validate(
            {"command_id": f"c-{next(self.numbers)}", "version": version, "cameras": cameras}
        )
        outcome: list[dict[str, Any]] = []

        def done() -> bool:
            try:
                outcome.append(dict(self.managed.configure(command)))
            except InProgressError:
                self.clock.advance(self.step_s)
                return False
            except CommandFailedError as error:
                outcome.append({"error": str(error)} | dict(error.fields))
            return True

        def wait() -> dict[str, Any]:
            if not outcome:
                eventually(done)
            return outcome[0]

        done()
        return wait

    def configure(self, version: int, *cameras: dict[str, Any]) -> dict[str, Any]:
        return self.begin(version, *cameras)()

    def running(self) -> dict[str, str | None]:
        return {name: each.camera.source for name, each in sorted(self.cameras.progress().items())}

    def stored_version(self) -> int:
        stored = ConfigurationStore(self.folder).load()
        return 0 if stored is None else stored.version


def _camera(camera_id: str = "gate", source: str = "usb:0", **fields: Any) -> dict[str, Any]:
    return {"camera_id": camera_id, "source": source, "enable_detection": False} | fields


def _pinned(camera_id: str, source: str = "usb:9") -> CameraSettings:
    return CameraSettings.model_validate({"id": camera_id, "source": source, "mode": "motion"})


@pytest.fixture
def new_device(tmp_path: Path) -> Iterator[Callable[[], Device]]:
    devices: list[Device] = []

    def make() -> Device:
        devices.append(Device(tmp_path))
        return devices[-1]

    yield make
    for device in devices:
        device.close()


@pytest.fixture
def device(new_device: Callable[[], Device]) -> Device:
    return new_device().start()


def test_a_configuration_is_applied_and_kept(device: Device) -> None:
    """The cameras run, the version is on disk, and the heartbeat is asked for."""
    assert (device.managed.health().version, device.running()) == (0, {})
    assert device.configure(1, _camera(), _camera("attic", "usb:1")) == {"config_version": 1}
    assert device.running() == {"attic": "usb:1", "gate": "usb:0"}
    assert (device.managed.health().model_dump(), device.stored_version()) == (
        {"version": 1, "rejected_version": None, "error": None},
        1,
    )
    assert device.changes == 1


def test_only_changed_cameras_are_restarted(device: Device) -> None:
    """An unchanged camera is not opened again, and a camera that is disabled or left out is stopped."""
    device.configure(1, _camera(), _camera("attic", "usb:1"), _camera("yard", "usb:2"))
    device.opened.clear()
    changed = _camera("attic", "usb:1", settings={"motion": {"threshold": 30}})
    assert device.configure(2, _camera(), changed, _camera("yard", "usb:2", enabled=False)) == {"config_version": 2}
    assert device.opened == ["usb:1"]
    assert list(device.running()) == ["attic", "gate"]
    assert device.configure(3) == {"config_version": 3}
    assert device.running() == {}


def test_the_same_version_is_answered_again_and_an_older_one_is_refused(device: Device) -> None:
    """A repetition changes nothing; an older message that arrives late does not undo a newer one."""
    device.configure(5, _camera())
    assert device.configure(5, _camera()) == {"config_version": 5}
    refused = device.configure(4, _camera("attic"))
    assert (refused["config_version"], refused["rejected_version"]) == (5, 4)
    assert "older than version 5" in refused["error"]
    assert (device.opened, device.managed.health().rejected_version) == (["usb:0"], None)


def test_a_new_camera_without_a_picture_rolls_back_the_whole_version(device: Device) -> None:
    """The reason names the camera; unrelated changes of the version are undone too, and the disk keeps the old one."""
    device.configure(1, _camera())
    device.faults["usb:7"] = REFUSED
    refused = device.configure(2, _camera("gate", "usb:1"), _camera("attic", "usb:7"))
    assert refused == {"error": f"camera attic: {REFUSED}", "config_version": 1, "rejected_version": 2}
    assert (device.running(), device.stored_version()) == ({"gate": "usb:0"}, 1)
    assert device.managed.health().model_dump() == {
        "version": 1,
        "rejected_version": 2,
        "error": f"camera attic: {REFUSED}",
    }
    assert device.configure(3, _camera()) == {"config_version": 3}
    assert device.managed.health().rejected_version is None


def test_a_refused_version_is_tried_again(device: Device) -> None:
    """After the camera was switched on, the same version is proved and used."""
    device.faults["usb:7"] = REFUSED
    assert device.configure(2, _camera("attic", "usb:7"))["rejected_version"] == 2
    device.faults.clear()
    assert device.configure(2, _camera("attic", "usb:7")) == {"config_version": 2}


def test_an_invalid_camera_stops_nothing(device: Device) -> None:
    """No camera is touched where one of them is not valid."""
    device.configure(1, _camera())
    line = [[0.1, 0.1], [0.9, 0.9], [0.5, 0.5]]
    bad = _camera("attic", "usb:1", settings={"events": {"zones": [{"name": "z", "polygon": line}]}})
    refused = device.configure(2, _camera("gate", "usb:1"), bad)
    assert "camera attic: settings.events.zones[0].polygon" in refused["error"]
    assert device.opened == ["usb:0"]


def test_a_camera_that_is_off_does_not_block_other_changes(device: Device) -> None:
    """It was proved once, is switched off, and its zones and another camera are changed."""
    device.configure(1, _camera())
    device.faults["usb:0"] = device.sources["usb:0"].error = REFUSED
    device.sources["usb:0"].state = "offline"
    eventually(lambda: not device.cameras.progress()["gate"].has_picture)
    changed = _camera(settings={"motion": {"threshold": 30}})
    assert device.configure(2, changed, _camera("attic", "usb:1")) == {"config_version": 2}
    assert device.running() == {"attic": "usb:1", "gate": "usb:0"}


def test_a_source_that_cannot_be_opened_is_reported_at_once(device: Device) -> None:
    """A missing file does not appear while one waits for it, so no time needs to pass."""
    device.faults["usb:7"] = ConfigurationError("no such file: x.mp4")
    device.step_s = 0.0
    assert "camera attic: no such file" in device.configure(1, _camera("attic", "usb:7"))["error"]


def test_a_newer_configuration_replaces_the_one_that_is_being_proved(device: Device) -> None:
    """The older command is answered with an error that rejects no version; one that has not begun, too."""
    device.configure(1, _camera())
    device.faults["usb:7"] = "not yet"
    second = device.begin(2, _camera("attic", "usb:7"))
    eventually(lambda: "usb:7" in device.opened)
    third = device.begin(3, _camera("attic", "usb:7"), _camera("yard", "usb:2"))
    fourth = device.begin(4, _camera("yard", "usb:3"))
    assert fourth() == {"config_version": 4}
    for interrupted in (second(), third()):
        assert "interrupted by a newer one" in interrupted["error"]
        assert "rejected_version" not in interrupted
    assert (device.running(), device.stored_version()) == ({"yard": "usb:3"}, 4)


def test_a_rejected_newer_configuration_restores_the_proved_one(device: Device) -> None:
    """What was being proved is undone too: it was never proved."""
    device.configure(1, _camera())
    device.faults["usb:7"] = "not yet"
    device.begin(2, _camera("attic", "usb:7"))
    eventually(lambda: "usb:7" in device.opened)
    refused = device.configure(3, _camera("attic", "gst:x"))
    assert (refused["config_version"], refused["rejected_version"]) == (1, 3)
    assert device.running() == {"gate": "usb:0"}


def test_two_commands_for_one_version_have_one_outcome(device: Device) -> None:
    """The cloud sends a version again while the device proves it; the camera is opened once."""
    first, second = device.begin(1, _camera()), device.begin(1, _camera())
    assert first() == second() == {"config_version": 1}
    assert device.opened == ["usb:0"]


def test_other_commands_are_answered_while_a_camera_is_proved(device: Device) -> None:
    """The handler returns at once, and the cameras' state can be read."""
    device.faults["usb:7"] = "not yet"
    wait = device.begin(1, _camera(), _camera("attic", "usb:7"))
    eventually(lambda: len(device.cameras.health()) == 2)
    answered = threading.Event()
    threading.Thread(target=lambda: (device.cameras.health(), answered.set()), daemon=True).start()
    assert answered.wait(10)
    assert wait()["rejected_version"] == 1


def test_the_last_configuration_runs_after_a_restart(new_device: Callable[[], Device]) -> None:
    """Without a network, and without waiting for its cameras."""
    first = new_device().start()
    first.configure(3, _camera(), _camera("attic", "usb:1"))
    first.close()
    second = new_device()
    second.faults["usb:0"] = REFUSED
    second.start()
    assert second.running() == {"attic": "usb:1", "gate": "usb:0"}
    assert second.managed.health().version == 3


def test_a_password_that_cannot_be_opened_asks_for_the_configuration_again(new_device: Callable[[], Device]) -> None:
    """After the device's key was lost: version 0, so the cloud seals to the new key; other cameras run meanwhile."""
    first = new_device().start()
    first.configure(3, _camera(), _camera("attic", "rtsp://10.0.0.7/live", username="u", password_sealed="secret"))
    first.close()
    second = new_device()
    second.key_is_lost = True
    second.start()
    assert second.running() == {"gate": "usb:0"}
    health = second.managed.health()
    assert health.version == 0
    assert "camera attic" in str(health.error)
    second.key_is_lost = False
    assert second.configure(3, _camera(), _camera("attic", "usb:1")) == {"config_version": 3}


def test_a_camera_of_the_file_is_pinned(new_device: Callable[[], Device]) -> None:
    """The API's camera of the same id is refused with the reason, and the others run beside it."""
    device = new_device().start(_pinned("gate"))
    outcome = device.configure(1, _camera("gate", "usb:0"), _camera("attic", "usb:1"))
    assert outcome["config_version"] == 1
    assert "agent.toml" in outcome["refused_cameras"]["gate"]
    assert device.running() == {"attic": "usb:1", "gate": "usb:9"}
    assert "camera gate: the device's own file" in str(device.managed.health().error)
    assert device.managed.replace_pinned([]) == ["gate"]
    assert device.running() == {"attic": "usb:1", "gate": "usb:0"}
    assert device.managed.health().error is None


def test_a_full_disk_refuses_no_version_and_touches_no_camera(device: Device) -> None:
    """The same version can be sent again when there is space."""
    device.configure(1, _camera())
    (device.folder / f"{FILE_NAME}.new").mkdir()
    (device.folder / f"{FILE_NAME}.new" / "x").touch()
    failed = device.configure(2, _camera("gate", "usb:1"))
    assert "cannot write" in failed["error"]
    assert failed["config_version"] == 1
    assert "rejected_version" not in failed
    assert (device.opened, device.stored_version()) == (["usb:0"], 1)


def test_an_unexpected_error_is_a_refusal(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread survives it, and the next configuration is applied."""
    device.configure(1, _camera())
    with monkeypatch.context() as patched:
        patched.setattr(device.cameras, "progress", lambda: 1 / 0)
        refused = device.configure(2, _camera("attic", "usb:1"))
    assert (refused["config_version"], refused["rejected_version"]) == (1, 2)
    assert "internal error (ZeroDivisionError)" in refused["error"]
    assert device.running() == {"gate": "usb:0"}
    assert device.configure(3, _camera("attic", "usb:1")) == {"config_version": 3}


def test_a_stop_while_a_camera_is_proved_keeps_the_proved_configuration(device: Device) -> None:
    """The next start runs the old one, and the cloud sends the new one again."""
    device.configure(1, _camera())
    device.faults["usb:7"] = "not yet"
    wait = device.begin(2, _camera("attic", "usb:7"))
    eventually(lambda: "usb:7" in device.opened)
    device.managed.close()
    assert "rejected_version" not in wait()
    assert device.stored_version() == 1
