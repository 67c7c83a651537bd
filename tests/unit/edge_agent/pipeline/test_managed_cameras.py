"""The cameras of a managed device: configurations are applied, proved, rolled back, and kept on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.config import CameraSettings
from edge_agent.device.commands import CommandFailedError
from edge_agent.device.configuration_store import FILE_NAME
from edge_agent.pipeline import managed_cameras
from edge_agent.pipeline.camera_worker import CameraWorker
from edge_agent.pipeline.silent_cameras import FIRST_RETRY_S, LONGEST_PAUSE_S
from shared.cameras import DeviceCamera
from shared.commands import TestConnectionCommand
from shared.errors import ConfigurationError
from tests.support.clips import make_clip, numbered
from tests.support.edge.delivery_harness import pause
from tests.support.edge.managed_harness import ManagedDevice, api_camera
from tests.support.ports import reserve_port
from tests.support.waiting import eventually

REFUSED = "connection refused; check host and port"


def _pinned(camera_id: str, source: str = "usb:9") -> CameraSettings:
    return CameraSettings.model_validate({"id": camera_id, "source": source, "mode": "motion"})


@pytest.fixture(autouse=True)
def _fast_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed_cameras, "_RETRY_POLL_INTERVAL_S", 0.01)


@pytest.fixture
def new_device(tmp_path: Path) -> Iterator[Callable[[], ManagedDevice]]:
    devices: list[ManagedDevice] = []

    def make() -> ManagedDevice:
        devices.append(ManagedDevice(tmp_path))
        return devices[-1]

    yield make
    for device in devices:
        device.close()


@pytest.fixture
def device(new_device: Callable[[], ManagedDevice]) -> ManagedDevice:
    return new_device().start()


def test_a_configuration_is_applied_and_kept(device: ManagedDevice) -> None:
    """The cameras run, the version is on disk, and the heartbeat is asked for."""
    assert (device.managed.health().version, device.running()) == (0, {})
    assert device.configure(1, api_camera(), api_camera("attic", "usb:1")) == {"config_version": 1}
    assert device.running() == {"attic": "usb:1", "gate": "usb:0"}
    assert (device.managed.health().model_dump(), device.stored_version()) == (
        {"version": 1, "rejected_version": None, "error": None},
        1,
    )
    assert device.changes == 1


def test_only_changed_cameras_are_restarted(device: ManagedDevice) -> None:
    """An unchanged camera is not opened again, and a camera that is disabled or left out is stopped."""
    device.configure(1, api_camera(), api_camera("attic", "usb:1"), api_camera("yard", "usb:2"))
    device.opened.clear()
    changed = api_camera("attic", "usb:1", settings={"motion": {"threshold": 30}})
    assert device.configure(2, api_camera(), changed, api_camera("yard", "usb:2", enabled=False)) == {
        "config_version": 2
    }
    assert device.opened == ["usb:1"]
    assert list(device.running()) == ["attic", "gate"]
    assert device.configure(3) == {"config_version": 3}
    assert device.running() == {}


def test_the_same_version_is_answered_again_and_an_older_one_is_refused(device: ManagedDevice) -> None:
    """A repetition changes nothing; an older message that arrives late does not undo a newer one."""
    device.configure(5, api_camera())
    assert device.configure(5, api_camera()) == {"config_version": 5}
    refused = device.configure(4, api_camera("attic"))
    assert (refused["config_version"], refused["rejected_version"]) == (5, 4)
    assert "older than version 5" in refused["error"]
    assert (device.opened, device.managed.health().rejected_version) == (["usb:0"], None)


def test_a_new_camera_without_a_picture_rolls_back_the_whole_version(device: ManagedDevice) -> None:
    """The reason names the camera; unrelated changes of the version are undone too, and the disk keeps the old one."""
    device.configure(1, api_camera())
    device.faults["usb:7"] = REFUSED
    refused = device.configure(2, api_camera("gate", "usb:1"), api_camera("attic", "usb:7"))
    assert refused == {"error": f"camera attic: {REFUSED}", "config_version": 1, "rejected_version": 2}
    assert (device.running(), device.stored_version()) == ({"gate": "usb:0"}, 1)
    assert device.managed.health().model_dump() == {
        "version": 1,
        "rejected_version": 2,
        "error": f"camera attic: {REFUSED}",
    }
    assert device.configure(3, api_camera()) == {"config_version": 3}
    assert device.managed.health().rejected_version is None


def test_a_refused_version_is_tried_again(device: ManagedDevice) -> None:
    """After the camera was switched on, the same version is proved and used."""
    device.faults["usb:7"] = REFUSED
    assert device.configure(2, api_camera("attic", "usb:7"))["rejected_version"] == 2
    device.faults.clear()
    assert device.configure(2, api_camera("attic", "usb:7")) == {"config_version": 2}


def test_a_refused_version_is_used_when_its_camera_answers(device: ManagedDevice) -> None:
    """Without another command: after pauses that double up to ten minutes, also in the middle of the longest one."""
    device.configure(1, api_camera())
    device.faults["usb:7"] = REFUSED
    assert device.configure(2, api_camera(), api_camera("attic", "usb:7"))["rejected_version"] == 2
    pause_s, began_s = FIRST_RETRY_S, device.clock.monotonic()
    for attempts in range(2, 10):
        device.clock.advance(began_s + pause_s - 2 - device.clock.monotonic())
        assert not _soon(lambda: device.opened.count("usb:7") >= attempts)  # noqa: B023 - called at once
        device.clock.advance(2)
        eventually(lambda: device.opened.count("usb:7") == attempts)  # noqa: B023
        pause_s, began_s = min(2 * pause_s, LONGEST_PAUSE_S), device.clock.monotonic()
        eventually(lambda: device.clock.advance(0.5) or set(device.running()) == {"gate"})
        assert device.managed.health().rejected_version == 2
    assert pause_s == LONGEST_PAUSE_S
    device.faults.clear()
    device.clock.advance(LONGEST_PAUSE_S)
    eventually(lambda: device.managed.health().version == 2)
    assert device.managed.health().model_dump() == {"version": 2, "rejected_version": None, "error": None}
    assert (device.running(), device.stored_version()) == ({"attic": "usb:7", "gate": "usb:0"}, 2)
    assert device.opened.count("usb:0") == 1


def test_a_refused_version_waits_until_its_camera_answers(
    device: ManagedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera that can be asked is asked first: no running camera is touched for an attempt in vain."""
    device.configure(1, api_camera())
    device.faults["rtsp://attic/1"] = REFUSED
    asked: list[str] = []
    monkeypatch.setattr(device.cameras, "failure_of", lambda camera: asked.append(camera.id) or "refused")
    wanted = api_camera(settings={"motion": {"threshold": 30}}), api_camera("attic", "rtsp://attic/1")
    assert device.configure(2, *wanted)["rejected_version"] == 2
    opened = len(device.opened)
    device.clock.advance(FIRST_RETRY_S)
    eventually(lambda: asked == ["attic"])
    monkeypatch.setattr(device.cameras, "failure_of", lambda camera: asked.append(camera.id) or "wrong_credentials")
    device.clock.advance(2 * FIRST_RETRY_S)
    eventually(lambda: len(asked) == 2)
    device.clock.advance(299)  # cameras lock accounts
    assert not _soon(lambda: len(asked) > 2 or len(device.opened) > opened)
    device.faults.clear()
    monkeypatch.setattr(device.cameras, "failure_of", lambda _: None)
    device.clock.advance(1)
    eventually(lambda: device.managed.health().version == 2)


def test_a_new_version_ends_the_attempts_for_the_refused_one(device: ManagedDevice) -> None:
    """The refused one is never used again, whatever becomes of the new one."""
    device.faults["usb:7"] = REFUSED
    device.configure(2, api_camera("attic", "usb:7"))
    assert "error" in device.configure(3, api_camera("attic", "gst:x"))
    opened = len(device.opened)
    device.faults.clear()
    device.clock.advance(LONGEST_PAUSE_S)
    assert not _soon(lambda: len(device.opened) > opened)
    assert device.managed.health().rejected_version == 3


def test_settings_that_do_not_work_are_not_tried_again(device: ManagedDevice) -> None:
    """Only a change can mend them."""
    device.faults["usb:7"] = ConfigurationError("no such file: x.mp4")
    device.configure(1, api_camera("attic", "usb:7"))
    device.clock.advance(LONGEST_PAUSE_S)
    assert not _soon(lambda: device.opened.count("usb:7") > 1)


def test_a_new_camera_that_does_not_answer_holds_up_one_version_only(device: ManagedDevice) -> None:
    """It is refused once, with the reason. Later versions are used with it; it connects when it is switched on."""
    device.configure(1, api_camera())
    device.faults["usb:7"] = device.faults["usb:8"] = REFUSED
    attic, yard = api_camera("attic", "usb:7"), api_camera("yard", "usb:8")
    assert device.configure(2, api_camera(), attic)["rejected_version"] == 2
    also = device.configure(3, api_camera(), attic, yard)
    assert (also["error"], also["rejected_version"]) == (f"camera yard: {REFUSED}", 3)
    changed = api_camera(settings={"motion": {"threshold": 30}})
    assert device.configure(4, changed, attic, yard) == {"config_version": 4}
    assert device.running() == {"attic": "usb:7", "gate": "usb:0", "yard": "usb:8"}


def test_only_the_very_camera_that_was_refused_is_excused(device: ManagedDevice) -> None:
    """Not with another address, not after it was removed, not with settings that fail, and no camera that worked."""
    device.configure(1, api_camera())
    device.faults |= {"usb:7": REFUSED, "usb:8": REFUSED}
    attic = api_camera("attic", "usb:7")
    assert "error" in device.configure(2, api_camera(), attic)
    assert "error" in device.configure(3, api_camera(), api_camera("attic", "usb:8"))
    assert "error" in device.configure(4, api_camera("gate", "gst:x"))
    assert "error" in device.configure(5, api_camera("gate", "usb:8"), api_camera("attic", "usb:8"))
    assert "camera gate" in device.configure(6, api_camera("gate", "usb:8"), api_camera("attic", "usb:8"))["error"]
    assert "error" in device.configure(7, api_camera("gate", "usb:7"))
    assert "camera attic" in device.configure(8, api_camera(), api_camera("attic", "usb:8"))["error"]
    device.faults["usb:8"] = ConfigurationError("no such file: x.mp4")
    assert "no such file" in device.configure(9, api_camera(), api_camera("attic", "usb:8"))["error"]


def _soon(condition: Callable[[], bool]) -> bool:
    """Return whether something happens within a few polls of the device."""
    for _ in range(10):
        pause(0.02)
        if condition():
            return True
    return False


def test_an_invalid_camera_stops_nothing(device: ManagedDevice) -> None:
    """No camera is touched where one of them is not valid."""
    device.configure(1, api_camera())
    line = [[0.1, 0.1], [0.9, 0.9], [0.5, 0.5]]
    bad = api_camera("attic", "usb:1", settings={"events": {"zones": [{"name": "z", "polygon": line}]}})
    refused = device.configure(2, api_camera("gate", "usb:1"), bad)
    assert "camera attic: settings.events.zones[0].polygon" in refused["error"]
    assert device.opened == ["usb:0"]


def test_a_camera_that_is_off_does_not_block_other_changes(device: ManagedDevice) -> None:
    """It was proved once, is switched off, and its zones and another camera are changed."""
    device.configure(1, api_camera())
    device.faults["usb:0"] = device.sources["usb:0"].error = REFUSED
    device.sources["usb:0"].state = "offline"
    eventually(lambda: not device.cameras.progress()["gate"].has_picture)
    changed = api_camera(settings={"motion": {"threshold": 30}})
    assert device.configure(2, changed, api_camera("attic", "usb:1")) == {"config_version": 2}
    assert device.running() == {"attic": "usb:1", "gate": "usb:0"}


def test_a_source_that_cannot_be_opened_is_reported_at_once(device: ManagedDevice) -> None:
    """A missing file does not appear while one waits for it, so no time needs to pass."""
    device.faults["usb:7"] = ConfigurationError("no such file: x.mp4")
    device.step_s = 0.0
    assert "camera attic: no such file" in device.configure(1, api_camera("attic", "usb:7"))["error"]


def test_a_newer_configuration_replaces_the_one_that_is_being_proved(device: ManagedDevice) -> None:
    """The older command is answered with an error that rejects no version; one that has not begun, too."""
    device.configure(1, api_camera())
    device.faults["usb:7"] = "not yet"
    second = device.begin(2, api_camera("attic", "usb:7"))
    eventually(lambda: "usb:7" in device.opened)
    third = device.begin(3, api_camera("attic", "usb:7"), api_camera("yard", "usb:2"))
    fourth = device.begin(4, api_camera("yard", "usb:3"))
    assert fourth() == {"config_version": 4}
    for interrupted in (second(), third()):
        assert "interrupted by a newer one" in interrupted["error"]
        assert "rejected_version" not in interrupted
    assert (device.running(), device.stored_version()) == ({"yard": "usb:3"}, 4)


def test_a_rejected_newer_configuration_restores_the_proved_one(device: ManagedDevice) -> None:
    """What was being proved is undone too: it was never proved."""
    device.configure(1, api_camera())
    device.faults["usb:7"] = "not yet"
    device.begin(2, api_camera("attic", "usb:7"))
    eventually(lambda: "usb:7" in device.opened)
    refused = device.configure(3, api_camera("attic", "gst:x"))
    assert (refused["config_version"], refused["rejected_version"]) == (1, 3)
    assert device.running() == {"gate": "usb:0"}


def test_two_commands_for_one_version_have_one_outcome(device: ManagedDevice) -> None:
    """The cloud sends a version again while the device proves it; the camera is opened once."""
    first, second = device.begin(1, api_camera()), device.begin(1, api_camera())
    assert first() == second() == {"config_version": 1}
    assert device.opened == ["usb:0"]


def test_other_commands_are_answered_while_a_camera_is_proved(device: ManagedDevice) -> None:
    """The handler returns at once, and the cameras' state can be read."""
    device.faults["usb:7"] = "not yet"
    wait = device.begin(1, api_camera(), api_camera("attic", "usb:7"))
    eventually(lambda: len(device.cameras.health()) == 2)
    answered = threading.Event()
    threading.Thread(target=lambda: (device.cameras.health(), answered.set()), daemon=True).start()
    assert answered.wait(10)
    assert wait()["rejected_version"] == 1


def test_the_last_configuration_runs_after_a_restart(new_device: Callable[[], ManagedDevice]) -> None:
    """Without a network, and without waiting for its cameras."""
    first = new_device().start()
    first.configure(3, api_camera(), api_camera("attic", "usb:1"))
    first.close()
    second = new_device()
    second.faults["usb:0"] = REFUSED
    second.start()
    assert second.running() == {"attic": "usb:1", "gate": "usb:0"}
    assert second.managed.health().version == 3


def test_a_password_that_cannot_be_opened_is_asked_for_again(
    new_device: Callable[[], ManagedDevice],
) -> None:
    """After the device's key was lost: version 0, so the cloud seals to the new key; other cameras run meanwhile."""
    first = new_device().start()
    first.configure(3, api_camera(), api_camera("attic", "rtsp://10.0.0.7/live", password_sealed="secret"))
    first.close()
    second = new_device()
    second.key_is_lost = True
    second.start()
    assert second.running() == {"gate": "usb:0"}
    health = second.managed.health()
    assert health.version == 0
    assert "camera attic" in str(health.error)
    second.key_is_lost = False
    assert second.configure(3, api_camera(), api_camera("attic", "usb:1")) == {"config_version": 3}


def test_a_camera_of_the_file_is_pinned(new_device: Callable[[], ManagedDevice]) -> None:
    """The API's camera of the same id is refused with the reason, and the others run beside it."""
    device = new_device().start(_pinned("gate"))
    outcome = device.configure(1, api_camera("gate", "usb:0"), api_camera("attic", "usb:1"))
    assert outcome["config_version"] == 1
    assert "agent.toml" in outcome["refused_cameras"]["gate"]
    assert device.running() == {"attic": "usb:1", "gate": "usb:9"}
    assert "camera gate: the device's own file" in str(device.managed.health().error)
    assert device.managed.replace_pinned([]) == ["gate"]
    assert device.running() == {"attic": "usb:1", "gate": "usb:0"}
    assert device.managed.health().error is None


def test_a_full_disk_refuses_no_version_and_touches_no_camera(device: ManagedDevice) -> None:
    """The heartbeat says why, and the same version can be sent again when there is space."""
    device.configure(1, api_camera())
    (device.folder / f"{FILE_NAME}.new").mkdir()
    (device.folder / f"{FILE_NAME}.new" / "x").touch()
    failed = device.configure(2, api_camera("gate", "usb:1"))
    assert "cannot write" in failed["error"]
    assert failed["config_version"] == 1
    assert "rejected_version" not in failed
    assert (device.opened, device.stored_version()) == (["usb:0"], 1)
    health = device.managed.health()
    assert (health.version, health.rejected_version) == (1, None)
    assert "cannot write" in str(health.error)
    (device.folder / f"{FILE_NAME}.new" / "x").unlink()
    (device.folder / f"{FILE_NAME}.new").rmdir()
    assert device.configure(2, api_camera("gate", "usb:1")) == {"config_version": 2}
    assert device.managed.health().error is None


def test_a_camera_that_is_switched_off_holds_up_nothing(new_device: Callable[[], ManagedDevice]) -> None:
    """It cannot run on this device, and the others can; so it is after a restart."""
    device = new_device().start()
    off = api_camera("attic", "gst:x", enabled=False)
    assert device.configure(1, api_camera(), off) == {"config_version": 1}
    device.close()
    again = new_device().start()
    assert again.managed.health().model_dump() == {"version": 1, "rejected_version": None, "error": None}
    assert again.running() == {"gate": "usb:0"}


def test_an_unexpected_error_is_a_refusal(device: ManagedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread survives it, and the next configuration is applied."""
    device.configure(1, api_camera())
    with monkeypatch.context() as patched:
        patched.setattr(device.cameras, "progress", lambda: 1 / 0)
        refused = device.configure(2, api_camera("attic", "usb:1"))
    assert (refused["config_version"], refused["rejected_version"]) == (1, 2)
    assert "internal error (ZeroDivisionError)" in refused["error"]
    assert device.running() == {"gate": "usb:0"}
    assert device.configure(3, api_camera("attic", "usb:1")) == {"config_version": 3}


def test_a_camera_whose_thread_does_not_start_is_a_refusal(
    device: ManagedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's limit of threads: the previous cameras run again, and later configurations are applied."""
    device.configure(1, api_camera())
    start = CameraWorker.start

    def start_gate_only(worker: CameraWorker) -> None:
        if worker.camera.id != "gate":
            raise RuntimeError("can't start new thread")
        start(worker)

    with monkeypatch.context() as patched:
        patched.setattr(CameraWorker, "start", start_gate_only)
        refused = device.configure(2, api_camera("attic", "usb:1"), api_camera("gate", "usb:3"))
    assert (refused["config_version"], refused["rejected_version"]) == (1, 2)
    assert device.running() == {"gate": "usb:0"}
    assert device.configure(3, api_camera("attic", "usb:1")) == {"config_version": 3}


def test_a_stop_while_a_camera_is_proved_keeps_the_proved_configuration(device: ManagedDevice) -> None:
    """The next start runs the old one, and the cloud sends the new one again."""
    device.configure(1, api_camera())
    device.faults["usb:7"] = "not yet"
    wait = device.begin(2, api_camera("attic", "usb:7"))
    eventually(lambda: "usb:7" in device.opened)
    device.managed.close()
    assert "rejected_version" not in wait()
    assert device.stored_version() == 1


def test_a_camera_is_tested_as_the_api_has_it(new_device: Callable[[], ManagedDevice], tmp_path: Path) -> None:
    """Also one that does not run, because its configuration was refused; but one of the own file as it runs."""
    device = new_device().start(_pinned("yard"))
    clip = make_clip(tmp_path / "a.mp4", numbered(3, width=160, height=64), 20)

    def result(source: str, camera_id: str = "gate") -> dict[str, object]:
        camera = DeviceCamera.model_validate(api_camera(camera_id, source))
        command = TestConnectionCommand(command_id="c", camera_id=camera_id, camera=camera, timeout_s=20)
        try:
            return dict(device.managed.test_connection(command))
        except CommandFailedError as error:
            return dict(error.fields)

    assert result(str(clip))["resolution"] == "160x64"
    assert result(f"rtsp://127.0.0.1:{reserve_port()}/live") == {"cause": "connection_refused"}
    assert result("missing.mp4") == {"cause": "no_such_stream"}
    eventually(lambda: device.cameras.health()[0].status == "online")
    assert result(str(clip), "yard")["resolution"] != "160x64"
    with pytest.raises(ConfigurationError, match="no camera gate"):
        device.managed.test_connection(TestConnectionCommand(command_id="c", camera_id="gate"))
