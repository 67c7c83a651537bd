"""The configuration of devices: raised by each change, sent to a device that is behind, recorded as it reports it."""

from __future__ import annotations

import json
import logging
import threading
from base64 import b64encode
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from cloud_functions.api.cameras.responses import CameraEnvelope
from cloud_functions.db.migrate import downgrade, upgrade
from cloud_functions.privacy.camera_passwords import CameraPasswords
from edge_agent.device.sealed_box import open_password
from shared.commands import MAX_COMMAND_BYTES
from tests.support.api_calls import Answer, ApiCalls, lambda_api
from tests.support.ingest_harness import IngestHarness, RecordingCommands, open_ingest, rows
from tests.support.managed_device import ManagedDevice
from tests.support.protected_sites import dump, keys, setting

PATH = "/api/v1/cameras"
SECRET = "pl4nted-s3cret/with@signs"
CSV = "name,rtsp_url,device_id\n"


@dataclass
class Cloud:
    """The API and ingest on one database, with one recorder of what both publish."""

    url: str
    api: ApiCalls
    ingest: IngestHarness
    commands: RecordingCommands

    def device(self, device_id: str = "gate-01") -> ManagedDevice:
        return ManagedDevice(self.ingest, self.commands, device_id)

    def create(self, name: str = "Gate", **fields: Any) -> dict[str, Any]:
        answer = self.api.post(PATH, {"name": name, "rtsp_url": "rtsp://camera/1", "device_id": "gate-01"} | fields)
        assert answer.status == 201, answer
        return answer.json()["data"]

    def state(self, camera: str = "gate") -> dict[str, Any]:
        answer = self.api.get(f"{PATH}/{camera}")
        CameraEnvelope.model_validate(answer.json(), strict=True)
        return answer.json()["data"]["configuration"]

    def replace(self, camera: str = "gate", **fields: Any) -> Answer:
        body = {"name": "Gate", "rtsp_url": "rtsp://camera/1", "device_id": "gate-01"} | fields
        answer = self.api.put(f"{PATH}/{camera}", body)
        assert answer.status == 200, answer
        return answer

    def version(self, device_id: str = "gate-01") -> int:
        return self.ingest.rows("SELECT version FROM device_configurations WHERE device_id = %s", [device_id])[0][0]

    def execute(self, statement: str, parameters: list[Any] | None = None) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement, parameters)  # type: ignore[arg-type]

    def forget_sending(self) -> None:
        """Move the last sending back by a minute."""
        self.execute("UPDATE device_configurations SET sent_at = sent_at - interval '1 minute'")


@contextmanager
def _open_cloud(url: str, folder: Path) -> Generator[Cloud]:
    passwords = CameraPasswords(master_keys=keys(folder))
    with open_ingest(url, PLATE_MASTER_KEY=setting(folder)) as ingest:
        handler, dependencies = lambda_api(url, camera_passwords=passwords, commands=ingest.commands)
        try:
            yield Cloud(url, ApiCalls(handler), ingest, ingest.commands)
        finally:
            handler.close()
            dependencies.close()


@pytest.fixture
def cloud(database_url: str, tmp_path: Path) -> Iterator[Cloud]:
    with _open_cloud(database_url, tmp_path) as one:
        yield one


def test_a_device_that_was_off_gets_the_last_of_ten_changes(cloud: Cloud) -> None:
    """One command, at its first heartbeat, with all of its cameras; then the API says that it is applied."""
    device = cloud.device()
    cloud.create()
    for number in range(9):
        cloud.replace(rtsp_url=f"rtsp://camera/{number}", settings={"detect": {"min_score": number / 10}})
    cloud.create("Hall", is_active=False, enable_detection=False, detection_sensitivity=0.25)
    assert device.configurations() == []
    assert cloud.state() == {"state": "pending", "version": 11, "applied_version": None, "error": None}
    device.connect()
    assert [command["version"] for command in device.configurations()] == [11]
    command = device.apply()
    assert command["cameras"] == [
        {
            "camera_id": "gate",
            "source": "rtsp://camera/8",
            "enabled": True,
            "enable_detection": True,
            "detection_sensitivity": 0.7,
            "settings": {"detect": {"min_score": 0.8}},
        },
        {
            "camera_id": "hall",
            "source": "rtsp://camera/1",
            "enabled": False,
            "enable_detection": False,
            "detection_sensitivity": 0.25,
            "settings": {},
        },
    ]
    assert cloud.state("hall") == {"state": "applied", "version": 11, "applied_version": 11, "error": None}
    device.beat()
    assert len(device.configurations()) == 1


def test_each_change_is_sent_at_once_to_a_device_that_is_online(cloud: Cloud) -> None:
    """Create, replace, switch, move, import and delete: the devices before and after the change get their cameras."""
    gate, yard = cloud.device(), cloud.device("yard-01")
    gate.connect()
    yard.connect()

    def sent() -> list[tuple[str, int, list[str]]]:
        news = [
            (topic.split("/")[2], command["version"], [camera["camera_id"] for camera in command["cameras"]])
            for topic, command in cloud.commands.sent
        ]
        cloud.commands.sent.clear()
        return news

    cloud.create()
    assert sent() == [("gate-01", 1, ["gate"])]
    cloud.replace(rtsp_url="rtsp://camera/2")
    assert sent() == [("gate-01", 2, ["gate"])]
    assert cloud.api.patch(f"{PATH}/gate/state", {"is_active": False}).status == 200
    assert sent() == [("gate-01", 3, ["gate"])]
    cloud.replace(device_id="yard-01")
    assert sent() == [("gate-01", 4, []), ("yard-01", 1, ["gate"])]
    table = CSV + "A,rtsp://a/1,gate-01\nB,rtsp://b/1,yard-01\nC,rtsp://c/1,gate-01\n"
    answer = cloud.api.post(f"{PATH}/import", {"format": "csv", "data": b64encode(table.encode()).decode()})
    assert answer.json()["data"]["created"] == 3
    assert sent() == [("gate-01", 5, ["a", "c"]), ("yard-01", 2, ["b", "gate"])]
    assert cloud.api.delete(f"{PATH}/gate").status == 200
    assert sent() == [("yard-01", 3, ["b"])]


def test_a_change_that_no_agent_obeys_is_not_sent(cloud: Cloud) -> None:
    """A name, a group, a location and the retention concern the API only; neither does a repeated state."""
    device = cloud.device()
    device.connect()
    cloud.create()
    assert cloud.api.post(f"{PATH}/groups", {"name": "Entrances"}).status == 201
    cloud.replace(name="Main gate", group_id="entrances", location="North", retention_days=3, resolution="1920x1080")
    assert cloud.api.patch(f"{PATH}/gate/state", {"is_active": True}).status == 200
    assert cloud.api.delete(f"{PATH}/groups/entrances").status == 200
    device.beat(cameras=[{"camera_id": "gate", "status": "online"}])  # writes last_connected
    assert [command["version"] for command in device.configurations()] == [1]
    assert cloud.version() == 1


def test_a_broker_that_is_away_delays_a_change_until_the_next_heartbeat(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    """The change is stored and answered as usual, and the failure is logged."""
    device = cloud.device()
    device.connect()
    cloud.commands.unavailable = True
    assert cloud.create()["configuration"]["state"] == "pending"
    device.beat()
    assert "sending the configuration to device gate-01 failed" in caplog.text
    cloud.commands.unavailable = False
    assert device.configurations() == []
    device.beat()
    assert [command["version"] for command in device.configurations()] == [1]


def test_a_version_is_not_sent_again_for_twenty_seconds(cloud: Cloud) -> None:
    """A device may need that long to apply it. A device that reconnects may have missed it, and gets it at once."""
    device = cloud.device()
    device.connect()
    cloud.create()
    device.beat()
    assert len(device.configurations()) == 1
    cloud.forget_sending()
    device.beat()
    device.beat()
    assert len(device.configurations()) == 2
    device.connect()
    assert len(device.configurations()) == 3
    assert {command["version"] for command in device.configurations()} == {1}


def test_a_device_that_is_offline_or_silent_is_sent_nothing_by_the_api(cloud: Cloud) -> None:
    """It gets its configuration when it returns."""
    device = cloud.device()
    device.connect()
    device.send("status", {"device_id": "gate-01", "status": "offline"}, at=datetime.now(UTC) + timedelta(seconds=1))
    cloud.create()
    assert device.configurations() == []
    cloud.execute("UPDATE devices SET status = 'online', last_seen_at = now() - interval '91 seconds'")
    cloud.replace(rtsp_url="rtsp://camera/2")
    assert device.configurations() == []
    device.connect()
    assert [command["version"] for command in device.configurations()] == [2]


def test_a_device_with_its_own_file_is_never_configured(cloud: Cloud) -> None:
    """Its heartbeat says ``configuration: null``, as do those of earlier releases."""
    device = cloud.device()
    device.beat(configuration=None, public_key=None)
    cloud.create()
    device.beat(configuration=None, public_key=None)
    assert device.configurations() == []
    assert cloud.state() == {"state": "unmanaged", "version": 1, "applied_version": None, "error": None}
    assert cloud.create("Loose", device_id=None)["configuration"]["state"] == "no_device"
    device.beat()
    assert len(device.configurations()) == 1


def test_a_rejected_version_is_shown_with_its_reason_and_not_sent_again(cloud: Cloud) -> None:
    """The reply is recorded at once; the next change is sent, and a version that works clears the reason."""
    device = cloud.device()
    device.connect()
    cloud.create()
    device.apply()
    cloud.replace(rtsp_url="rtsp://nobody/1")
    device.reject("camera gate: no answer from rtsp://me:hush@nobody/1")
    rejected = {"state": "rejected", "version": 2, "applied_version": 1}
    assert cloud.state() == rejected | {"error": "camera gate: no answer from rtsp://***@nobody/1"}
    cloud.forget_sending()
    device.beat()
    assert cloud.state()["state"] == "rejected"
    assert len(device.configurations()) == 2
    cloud.replace(rtsp_url="rtsp://camera/3")
    device.apply()
    assert cloud.state() == {"state": "applied", "version": 3, "applied_version": 3, "error": None}
    device.beat()
    assert cloud.state()["error"] is None


def test_a_reply_that_rejects_no_version_changes_no_state(cloud: Cloud) -> None:
    """Such as that of a device which is stopping: the version is sent again later."""
    device = cloud.device()
    device.connect()
    cloud.create()
    device.reply(device.configurations()[0], status="error", error="the device is stopping")
    assert cloud.state() == {"state": "pending", "version": 1, "applied_version": 0, "error": None}
    device.error = "cannot write configuration.json: No space left on device"
    device.beat()
    assert cloud.state() == {"state": "pending", "version": 1, "applied_version": 0, "error": device.error}
    cloud.forget_sending()
    device.beat()
    assert len(device.configurations()) == 2


def test_an_older_report_does_not_replace_a_later_one(cloud: Cloud) -> None:
    """Messages may be processed in another order than they were received; the device's own clock does not matter."""
    device = cloud.device()
    device.connect()
    cloud.create()
    device.apply()
    device.beat(at=datetime.now(UTC) - timedelta(seconds=10), configuration={"version": 0})
    assert cloud.state()["state"] == "applied"
    cloud.replace(rtsp_url="rtsp://camera/2")
    device.version = 2
    device.beat(timestamp="2020-01-01T00:00:00Z")
    assert cloud.state()["state"] == "applied"


def test_a_password_is_sealed_to_the_device(cloud: Cloud) -> None:
    """The device alone can open it, for that camera alone; it is in no command, answer or table in the open."""
    device = cloud.device()
    device.connect()
    created = cloud.create(rtsp_url="rtsp://camera/1", username="admin", password=SECRET)
    (camera,) = device.configurations()[0]["cameras"]
    assert (camera["source"], camera["username"]) == ("rtsp://camera/1", "admin")
    assert open_password(camera["password_sealed"], private_key=device.private_key, camera_id="gate") == SECRET
    device.apply()
    texts = [json.dumps(created), json.dumps(cloud.commands.sent), dump(cloud.url), json.dumps(cloud.state())]
    assert "pl4nted" not in "".join(texts)


def test_a_password_waits_for_the_key_of_the_device(cloud: Cloud) -> None:
    """Without a key nothing is sent, and the camera's state says why; the key's arrival is enough."""
    device = cloud.device()
    device.beat(public_key=None)
    cloud.create(password=SECRET)
    device.beat(public_key=None)
    assert device.configurations() == []
    assert cloud.state()["state"] == "pending"
    assert "gate has a password, and the device has not sent its public key" in cloud.state()["error"]
    device.beat()
    assert len(device.configurations()) == 1
    assert cloud.state()["error"] is None


def test_a_new_key_is_reported_and_used(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """The passwords are sent again, sealed to it, under a new version."""
    device = cloud.device()
    device.connect()
    cloud.create(password=SECRET)
    device.apply()
    device.beat()
    device.private_key = X25519PrivateKey.generate()
    with caplog.at_level(logging.WARNING):
        device.beat()
    assert "device gate-01 has a new public key" in caplog.text
    first, second = device.configurations()
    assert (first["version"], second["version"]) == (1, 2)
    sealed = second["cameras"][0]["password_sealed"]
    assert open_password(sealed, private_key=device.private_key, camera_id="gate") == SECRET


def test_a_password_that_cannot_be_opened_is_reported(
    cloud: Cloud, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ingest without the master key sends nothing and says so; the other devices get their configurations."""
    cloud.create(password=SECRET)
    cloud.create("Yard", device_id="yard-01")
    with open_ingest(database_url) as keyless:
        gate, yard = ManagedDevice(keyless, keyless.commands), ManagedDevice(keyless, keyless.commands, "yard-01")
        gate.connect()
        yard.connect()
        assert gate.configurations() == []
        assert len(yard.configurations()) == 1
    assert "the password of camera gate cannot be opened" in cloud.state()["error"]


def test_a_configuration_that_fits_into_no_message_is_reported(cloud: Cloud) -> None:
    """The state says how large it is, and what to do."""
    device = cloud.device()
    device.connect()
    names = [f"class {number} {'x' * 150}" for number in range(200)]
    for number in range(4):
        cloud.create(f"Camera {number}", settings={"detect": {"classes": names}})
    sizes = [len(json.dumps(command)) for command in device.configurations()]
    assert len(sizes) == 3
    assert max(sizes) < MAX_COMMAND_BYTES
    assert "at most 120 KiB: give the device fewer cameras" in cloud.state("camera-3")["error"]


def test_a_device_that_knows_a_higher_version_gets_a_still_higher_one(cloud: Cloud) -> None:
    """After the database was restored, the device would ignore the lower version."""
    device = cloud.device()
    device.version = 40
    device.connect()
    assert device.configurations() == []  # this database has never known a camera of the device: it is left alone
    cloud.create()
    assert [command["version"] for command in device.configurations()] == [41]
    device.apply()
    cloud.execute("UPDATE device_configurations SET version = 7")
    device.beat()
    assert [command["version"] for command in device.configurations()] == [41, 42]


def test_a_hostile_version_leaves_the_cameras_editable(cloud: Cloud) -> None:
    """A device that reports the largest number stored cannot make later changes fail."""
    device = cloud.device()
    device.version = 2**70
    device.connect()
    cloud.create()
    cloud.replace(rtsp_url="rtsp://camera/2")
    assert [command["version"] for command in device.configurations()] == [2**53 + 1, 2**53 + 2]


def test_the_only_managed_device_is_the_default(cloud: Cloud) -> None:
    """A camera that names no device gets it; with two devices, or a null, it gets none."""

    def device_of(**fields: Any) -> str | None:
        answer = cloud.api.post(PATH, {"name": "Any", "rtsp_url": "rtsp://camera/1"} | fields)
        return answer.json()["data"]["device_id"]

    assert device_of() is None
    cloud.device("old-01").beat(configuration=None)
    cloud.device().connect()
    assert device_of() == "gate-01"
    assert device_of(device_id=None) is None
    assert device_of(device_id="old-01") == "old-01"
    table = "name,rtsp_url,device_id\nImported,rtsp://i/1,\n"
    cloud.api.post(f"{PATH}/import", {"format": "csv", "data": b64encode(table.encode()).decode()})
    assert cloud.api.get(f"{PATH}/imported").json()["data"]["device_id"] == "gate-01"
    cloud.device("yard-01").connect()
    assert device_of() is None


def test_an_import_raises_the_version_once(cloud: Cloud) -> None:
    """However many of a device's cameras one transaction changes, and also when one of its savepoints failed."""
    table = CSV + "".join(f"C{number},rtsp://camera/{number},gate-01\n" for number in range(300))
    cloud.api.post(f"{PATH}/import", {"format": "csv", "data": b64encode(table.encode()).decode()})
    assert cloud.version() == 1
    with psycopg.connect(cloud.url) as connection:
        with connection.transaction(force_rollback=True):
            connection.execute("UPDATE cameras SET is_active = false")
        connection.execute("UPDATE cameras SET username = 'me' WHERE slug = 'c1'")
        connection.execute("UPDATE cameras SET username = 'me' WHERE slug = 'c2'")
    assert cloud.version() == 2


def test_changes_in_any_order_do_not_deadlock(cloud: Cloud, database_url: str, tmp_path: Path) -> None:
    """Imports, moves between devices and heartbeats at the same time: none fails, and every device is raised."""
    devices = [f"d{number}" for number in range(4)]
    for name in ("Gate", "Hall"):
        cloud.create(name, device_id="d0")
    faults: list[object] = []
    one_at_a_time = threading.Lock()

    def run(seed: int) -> None:
        try:
            change(seed)
        except BaseException as error:
            faults.append(error)

    def change(seed: int) -> None:
        with _open_cloud(database_url, tmp_path) as mine:
            with one_at_a_time:  # the first request builds the application, and FastAPI does that in one thread only
                assert mine.api.get(f"{PATH}/summary").status == 200
            reporting = {name: mine.device(name) for name in devices}
            for step in range(12):
                order = devices[step % 4 :] + devices[: step % 4]
                if seed == 0:
                    rows = "".join(f"N{step}-{n},rtsp://x/{step}-{n},{device}\n" for n, device in enumerate(order * 5))
                    content = b64encode((CSV + rows).encode()).decode()
                    answer = mine.api.post(f"{PATH}/import", {"format": "csv", "data": content})
                elif seed == 1:
                    answer = mine.api.post(PATH, {"name": f"N{step}", "rtsp_url": "rtsp://y/1", "device_id": order[0]})
                elif seed == 2:
                    cameras = [{"camera_id": name, "status": "online"} for name in ("gate", "hall")]
                    reporting[order[0]].beat(cameras=cameras)
                    continue
                else:
                    camera = ("gate", "hall")[seed % 2]
                    fields = {"name": camera, "rtsp_url": "rtsp://camera/1", "device_id": order[seed % 4]}
                    answer = mine.api.put(f"{PATH}/{camera}", fields)
                if answer.status not in (200, 201):
                    faults.append(answer)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert all(cloud.version(device) >= 12 for device in devices)


def test_the_migration_counts_cameras_that_exist(empty_url: str) -> None:
    """Their devices are due a configuration. After a downgrade cameras change as before; an upgrade counts again."""

    def execute(statement: str) -> None:
        with psycopg.connect(empty_url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    upgrade(empty_url, "0017")
    execute(
        "INSERT INTO cameras (id, slug, name, rtsp_url, device_id)"
        " VALUES (gen_random_uuid(), 'gate', 'Gate', 'rtsp://camera/1', 'gate-01')"
    )
    upgrade(empty_url)
    query = "SELECT device_id, version FROM device_configurations"
    assert rows(empty_url, query) == [("gate-01", 1)]
    execute("UPDATE cameras SET rtsp_url = 'rtsp://camera/2'")
    assert rows(empty_url, query) == [("gate-01", 2)]
    downgrade(empty_url, "0017")
    execute("UPDATE cameras SET rtsp_url = 'rtsp://camera/3', device_id = 'yard-01'")
    upgrade(empty_url)
    assert rows(empty_url, query) == [("yard-01", 1)]
