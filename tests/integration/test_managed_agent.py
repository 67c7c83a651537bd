"""A managed agent as a process: it obeys ``configure``, rolls back, survives ``kill -9``, and keeps secrets."""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from cloud_functions.privacy.sealed_box import seal_password
from edge_agent.device.configuration_store import FILE_NAME, ConfigurationStore, StoredConfiguration
from shared.commands import MAX_COMMAND_BYTES, ConfigureCommand
from tests.integration.test_agent_restart import AgentProcess
from tests.support.backing_services import BrokerFixture
from tests.support.clips import numbered
from tests.support.edge.delivery_harness import Subscriber, pause, subscribed
from tests.support.ports import reserve_port
from tests.support.rtsp_server import Behaviour, RtspServer
from tests.support.waiting import eventually

CONFIG = """
site_id = "hq"
device_id = "{device_id}"
state_dir = "{folder}"

[mqtt]
host = "127.0.0.1"
port = {port}
reconnect_max_s = 0.5
"""
PINNED = """
[[cameras]]
id = "porch"
source = "synthetic:gate"
mode = "motion"
"""
PASSWORD = "c0rrect/h@rse:b4ttery"
WAIT_S = 90.0


class ManagedDevice:
    """A managed agent, and the cloud's side of its broker."""

    def __init__(self, folder: Path, *, broker: BrokerFixture, config: str = CONFIG, verbose: bool = False) -> None:
        self.folder = folder
        device_id = f"gate-{uuid.uuid4().hex[:8]}"
        self.cloud: Subscriber
        self._subscription = subscribed(port=broker.port, device_id=device_id)
        self.cloud = self._subscription.__enter__()
        self.agent = AgentProcess(folder, port=broker.port, device_id=device_id, config=config, verbose=verbose)
        self._numbers = itertools.count(1)

    def close(self) -> None:
        self.agent.end(signal.SIGKILL)
        self._subscription.__exit__(None, None, None)

    def start(self) -> None:
        """Start the agent and wait for its first heartbeat."""
        known = len(self.cloud.heartbeats)
        self.agent.start()
        eventually(lambda: len(self.cloud.heartbeats) > known, within_s=WAIT_S)

    def send(self, version: int, *cameras: dict[str, Any]) -> str:
        command_id = f"c-{next(self._numbers)}"
        self.cloud.ask("configure", command_id, version=version, cameras=list(cameras))
        return command_id

    def reply(self, command_id: str) -> dict[str, Any]:
        eventually(lambda: command_id in self.cloud.answered(), within_s=WAIT_S)
        return next(reply for reply in self.cloud.replies if reply["command_id"] == command_id)

    def configure(self, version: int, *cameras: dict[str, Any]) -> dict[str, Any]:
        return self.reply(self.send(version, *cameras))

    def reports(self, version: int, rejected_version: int | None = None) -> None:
        """Wait until a heartbeat reports these versions."""
        eventually(
            lambda: (
                (self.configuration["version"], self.configuration["rejected_version"]) == (version, rejected_version)
            ),
            within_s=WAIT_S,
        )

    @property
    def configuration(self) -> dict[str, Any]:
        return self.cloud.heartbeats[-1]["configuration"]

    @property
    def public_key(self) -> str:
        return self.cloud.heartbeats[-1]["public_key"]

    def stored(self) -> StoredConfiguration:
        return StoredConfiguration.model_validate_json((self.folder / FILE_NAME).read_bytes())


@pytest.fixture
def new_device(tmp_path: Path, mqtt_broker: BrokerFixture) -> Iterator[Callable[..., ManagedDevice]]:
    devices: list[ManagedDevice] = []

    def make(**options: Any) -> ManagedDevice:
        devices.append(ManagedDevice(tmp_path, broker=mqtt_broker, **options))
        return devices[-1]

    yield make
    for device in devices:
        device.close()


def _camera(camera_id: str = "gate", source: str = "synthetic:gate", **fields: Any) -> dict[str, Any]:
    return {"camera_id": camera_id, "source": source, "enable_detection": False} | fields


def test_ten_changes_while_the_agent_is_off_converge_to_the_last(new_device: Callable[..., ManagedDevice]) -> None:
    """The broker kept all of them; the agent starts with its last configuration and ends with the newest one."""
    device = new_device()
    device.start()
    assert device.configuration == {"version": 0, "rejected_version": None, "error": None}
    assert device.configure(1, _camera())["config_version"] == 1
    device.agent.end(signal.SIGTERM)
    commands = [device.send(version, _camera(f"camera-{version}")) for version in range(2, 12)]
    pause(0.2)
    device.start()
    assert "configured through the API; version 1, 1 camera(s)" in device.agent.log.read_text()
    assert device.reply(commands[-1])["config_version"] == 11
    eventually(lambda: set(commands) <= device.cloud.answered(), within_s=WAIT_S)
    device.reports(11)
    assert [camera.camera_id for camera in device.stored().cameras] == ["camera-11"]
    late = device.configure(7, _camera("camera-7"))
    assert (late["status"], late["config_version"], late["rejected_version"]) == ("error", 11, 7)
    assert device.configure(11, _camera("camera-11"))["status"] == "ok"


def test_a_bad_configuration_rolls_back_and_says_why(new_device: Callable[..., ManagedDevice]) -> None:
    """A broken polygon and an unreachable camera; the heartbeat reports both at once, and the camera keeps running.

    The version of the unreachable camera is used once that answers.
    """
    device = new_device()
    device.start()
    device.configure(1, _camera())
    polygon = [[0.1, 0.1], [0.9, 0.9], [0.5, 0.5]]
    zones = {"events": {"zones": [{"name": "yard", "polygon": polygon}]}}
    broken = device.configure(2, _camera(), _camera("attic", "synthetic:gate?seed=2", settings=zones))
    assert (broken["config_version"], broken["rejected_version"]) == (1, 2)
    assert "camera attic: settings.events.zones[0].polygon: the polygon has no area" in broken["error"]
    device.reports(1, 2)
    unreachable = device.configure(3, _camera(), _camera("attic", f"rtsp://127.0.0.1:{reserve_port()}/live"))
    assert unreachable["error"] == "camera attic: connection refused; check host and port"
    device.reports(1, 3)
    assert device.configuration["error"] == unreachable["error"]
    assert [each["camera_id"] for each in device.cloud.heartbeats[-1]["cameras"]] == ["gate"]
    with RtspServer(numbered(50), behaviour=Behaviour(refuse=True)) as server:
        assert device.configure(4, _camera(), _camera("yard", server.url()))["rejected_version"] == 4
        assert device.stored().version == 1
        server.behaviour.refuse = False  # the camera is switched on: nobody sends the version again
        device.reports(4)
        assert device.stored().version == 4
    assert device.agent.log.read_text().count("camera gate is online") == 1


def test_a_password_reaches_the_camera_and_nothing_else(new_device: Callable[..., ManagedDevice]) -> None:
    """It opens the camera, now and after a restart; it is in no log, message or file, also when the camera refuses."""
    device = new_device(verbose=True)
    device.start()
    images = numbered(50, width=160, height=64)
    with RtspServer(images, auth="digest", user="admin", password=PASSWORD) as server:
        address = server.url()

        def camera(password: str, camera_id: str = "gate") -> dict[str, Any]:
            sealed = seal_password(password, public_key=device.public_key, camera_id=camera_id)
            return _camera(camera_id, address, username="admin", password_sealed=sealed)

        wrong = device.configure(1, camera(f"wrong {PASSWORD}"))
        assert "refused the user name or password (401)" in wrong["error"]
        assert device.configure(2, camera(PASSWORD))["status"] == "ok"
        device.agent.end(signal.SIGKILL)
        device.start()
        eventually(lambda: device.agent.log.read_text().count("camera gate is online") == 2, within_s=WAIT_S)
        copied = device.configure(3, camera(PASSWORD) | {"camera_id": "attic"})
        assert "sealed to another key, or for another camera" in copied["error"]
        server.behaviour.status = 404
        gone = device.configure(4, camera(PASSWORD), camera(PASSWORD, "attic"))
        assert "camera attic: the camera has no stream at this path (404)" in gone["error"]
    device.agent.end(signal.SIGTERM)
    files = b"".join(path.read_bytes() for path in device.folder.iterdir() if path.is_file())
    messages = b"".join(device.cloud.payloads)
    key = (device.folder / "device.key").read_bytes().strip()
    for secret in (PASSWORD.encode(), quote(PASSWORD, safe="").encode(), json.dumps(PASSWORD).encode()):
        assert secret not in files
        assert secret not in messages
    assert key not in messages + device.agent.log.read_bytes()


def test_a_kill_at_any_point_leaves_the_old_or_the_new_configuration(
    new_device: Callable[..., ManagedDevice],
) -> None:
    """The agent is killed while it applies; the file is one of the two, complete, and the next start runs it."""
    device, generator = new_device(), random.Random(14)
    device.start()
    device.configure(1, _camera("camera-1"))
    for version, longest_s in enumerate((0.2, 0.5, 1.0, 3.0), start=2):
        before, camera = device.stored().version, _camera(f"camera-{version}")
        device.send(version, camera)
        pause(generator.uniform(0.0, longest_s))
        device.agent.end(signal.SIGKILL)
        stored = device.stored()
        assert stored.version in {before, version}
        assert [each.camera_id for each in stored.cameras] == [f"camera-{stored.version}"]
        device.start()
        assert f"configured through the API; version {stored.version}, 1 camera(s)" in device.agent.log.read_text()
        assert device.configure(version, camera)["status"] == "ok"
        assert device.stored().version == version
    assert "cannot be used" not in device.agent.log.read_text()


WRITER = """
import itertools, sys
from pathlib import Path
from edge_agent.device.configuration_store import ConfigurationStore, StoredConfiguration
from shared.cameras import DeviceCamera

store = ConfigurationStore(Path(sys.argv[1]))
for version in itertools.count(int(sys.argv[2])):
    cameras = [DeviceCamera(camera_id=f"camera-{n}", source="usb:0", username=str(version)) for n in range(400)]
    store.prepare(StoredConfiguration(version=version, cameras=cameras)).commit()
    print(version, flush=True)
"""


def test_a_kill_while_the_file_is_written_leaves_a_complete_one(tmp_path: Path) -> None:
    """A process that only writes is killed at random points; all cameras of the file are of one version."""
    generator, version = random.Random(14), 0
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(version + 1)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as writer:
            assert writer.stdout is not None
            assert int(writer.stdout.readline()) == version + 1
            pause(generator.uniform(0.0, 0.1))
            writer.kill()
            written = [version + 1, *(int(line) for line in writer.stdout if line.endswith("\n"))]
        stored = ConfigurationStore(tmp_path).load()
        assert stored is not None
        assert stored.version in {written[-1], written[-1] + 1}
        assert [camera.username for camera in stored.cameras] == [str(stored.version)] * 400
        version = stored.version


def test_a_configuration_of_the_largest_size_arrives(new_device: Callable[..., ManagedDevice]) -> None:
    """A command just below 120 KiB passes the broker and the agent."""
    device = new_device()
    device.start()
    cameras = [_camera(f"camera-{n}", f"/recordings/{'x' * 1000}.mp4", enabled=False) for n in range(107)]
    command = ConfigureCommand.model_validate({"command_id": "c-1", "version": 1, "cameras": cameras})
    assert 0.9 * MAX_COMMAND_BYTES < len(command.model_dump_json(exclude_none=True)) < MAX_COMMAND_BYTES
    assert device.configure(1, *cameras)["status"] == "ok"
    assert len(device.stored().cameras) == len(cameras)


def test_a_damaged_file_starts_without_cameras_and_is_sent_again(new_device: Callable[..., ManagedDevice]) -> None:
    """The heartbeat reports version 0, and the same version is applied again."""
    device = new_device()
    device.start()
    device.configure(4, _camera())
    device.agent.end(signal.SIGTERM)
    path = device.folder / FILE_NAME
    path.write_bytes(path.read_bytes()[:-20])
    device.start()
    assert device.configuration["version"] == 0
    assert "configuration.json cannot be used" in device.agent.log.read_text()
    assert device.configure(4, _camera())["config_version"] == 4
    device.reports(4)


def test_cameras_of_the_file_are_pinned_and_reloaded(new_device: Callable[..., ManagedDevice]) -> None:
    """SIGHUP reads the file's cameras again; those of the API run on beside them."""
    device = new_device(config=CONFIG.replace("\n[mqtt]", "managed = true\n\n[mqtt]") + PINNED)
    device.start()
    reply = device.configure(1, _camera(), _camera("porch", "synthetic:gate?seed=2"))
    assert (reply["status"], list(reply["refused_cameras"])) == ("ok", ["porch"])
    path = device.folder / "agent.toml"
    path.write_text(path.read_text().replace('id = "porch"', 'id = "yard"'))
    device.agent.signal(signal.SIGHUP)
    eventually(lambda: "changed cameras: porch, yard" in device.agent.log.read_text(), within_s=WAIT_S)
    eventually(lambda: "camera yard is online" in device.agent.log.read_text(), within_s=WAIT_S)
    assert device.agent.log.read_text().count("camera gate is online") == 1
