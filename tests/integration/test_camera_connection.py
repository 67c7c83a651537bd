"""``POST /cameras/{camera}/test-connection``: the API, ingest and a device's cameras, without a broker between them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from cloud_functions.api.cameras.responses import ConnectionTestEnvelope
from cloud_functions.api.commands.responses import AcceptedEnvelope
from cloud_functions.device_commands import CommandPublisher
from cloud_functions.privacy.camera_passwords import CameraPasswords
from edge_agent.config import CameraSettings, ModelPlaces
from edge_agent.device.commands import CommandDispatcher, CommandHandlers
from edge_agent.device.sealed_box import open_password
from edge_agent.pipeline.context import DeviceContext
from edge_agent.pipeline.supervisor import Cameras
from shared.clock import SystemClock
from shared.ids import Uuid7Generator
from shared.topics import DeviceTopics
from tests.support.api_calls import Answer, ApiCalls, lambda_api
from tests.support.clips import numbered
from tests.support.command_devices import AnsweringDevice, send_reply, store_device
from tests.support.edge.fake_transport import FakePublisher
from tests.support.ingest_harness import RecordingCommands
from tests.support.protected_sites import keys
from tests.support.rtsp_server import RtspServer

PATH = "/api/v1/cameras"
TEST = f"{PATH}/front-door/test-connection"
PASSWORD = "open-s3same"


class ReplyingPublisher(FakePublisher):
    """Ingest records what a device publishes as a reply."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Future[None]:
        send_reply(self._url, topic.rsplit("/", 1)[1], json.loads(payload))
        return super().publish(topic, payload, retain=retain)


class Device(RecordingCommands):
    """A device with one camera; it executes the commands that the API publishes."""

    def __init__(self, url: str, source: str) -> None:
        super().__init__()
        self._cameras = Cameras(
            device=DeviceContext(
                site_id="hq", device_id="gate-01", publish=lambda _: None, new_id=Uuid7Generator(), keep_pictures=True
            ),
            places=ModelPlaces(location=None, cache_dir=Path("/nonexistent")),
            clock=SystemClock(),
        )
        camera = {"id": "front-door", "source": source, "mode": "motion", "motion_events": False}
        self._cameras.apply([CameraSettings.model_validate(camera)])
        handlers = CommandHandlers(
            snapshot=_refuse, test_connection=self._cameras.test_connection, reload=_refuse, resend=_refuse
        )
        self._dispatcher = CommandDispatcher(topics=DeviceTopics("hq", "gate-01"), handlers=handlers)
        self._dispatcher.start(ReplyingPublisher(url))

    def publish(self, topic: str, payload: bytes) -> None:
        super().publish(topic, payload)
        self._dispatcher.receive(topic, payload)

    def close(self) -> None:
        self._dispatcher.close()
        self._cameras.stop()


def _refuse(command: object) -> None:
    raise AssertionError(command)


@pytest.fixture
def server() -> Iterator[RtspServer]:
    with RtspServer(numbered(50, width=320, height=128), auth="basic", password=PASSWORD) as one:
        yield one


@contextmanager
def _api(url: str, commands: CommandPublisher) -> Generator[ApiCalls]:
    store_device(url)
    handler, deps = lambda_api(url, commands=commands)
    api = ApiCalls(handler)
    camera = {"name": "Front Door", "rtsp_url": "rtsp://c/1", "device_id": "gate-01"}
    assert api.post(PATH, camera).status == 201
    yield api
    handler.close()
    deps.close()


@contextmanager
def _device(url: str, source: str) -> Generator[ApiCalls]:
    device = Device(url, source)
    try:
        with _api(url, device) as api:
            yield api
    finally:
        device.close()


def _result(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer
    ConnectionTestEnvelope.model_validate(answer.json(), strict=True)
    return answer.json()["data"]


def test_the_documented_request_tests_a_camera(database_url: str, server: RtspServer) -> None:
    """The body of the camera document is accepted as it is, and the answer has the documented fields."""
    with _device(database_url, server.url(user="viewer", password=PASSWORD)) as api:
        camera = api.get(f"{PATH}/front-door").json()["data"]
        result = _result(api.post(TEST, {"timeout_seconds": 20, "check_credentials": True}))
        assert result == {
            "success": True,
            "camera_id": camera["id"],
            "message": "Successfully connected to Front Door",
            "cause": None,
            "latency_ms": result["latency_ms"],
            "resolution": "320x128",
            "fps": 25.0,
            "codec": "h264",
        }
        assert result["latency_ms"] > 0
        result = _result(api.post(f"{PATH}/{camera['id']}/test-connection", {"check_credentials": False}))
        assert (result["success"], result["resolution"], result["fps"]) == (True, None, None)


def test_a_failed_test_is_a_200_with_its_cause(database_url: str, server: RtspServer) -> None:
    """The message says what to do, and contains no password."""
    with _device(database_url, server.url(user="viewer", password="wrong-w0rd")) as api:
        answer = api.post(TEST, {"timeout_seconds": 20})
        result = _result(answer)
        assert (result["success"], result["cause"], result["latency_ms"]) == (False, "wrong_credentials", None)
        assert "401" in result["message"]
        assert b"wrong-w0rd" not in answer.body


def test_a_camera_that_the_device_does_not_have(database_url: str, server: RtspServer) -> None:
    """The device says which cameras it has."""
    with _device(database_url, server.url()) as api:
        assert api.post(PATH, {"name": "Attic", "rtsp_url": "rtsp://c/2", "device_id": "gate-01"}).status == 201
        result = _result(api.post(f"{PATH}/attic/test-connection", {}))
        assert (result["success"], result["cause"]) == (False, "failed")
        assert "no camera attic; it has front-door" in result["message"]


def test_a_caller_need_not_wait(database_url: str) -> None:
    """With `wait` false the answer is a 202, and its Location has the reply."""
    with _api(database_url, AnsweringDevice(database_url, lambda _: {"latency_ms": 7, "fps": 25})) as api:
        answer = api.post(TEST, {"wait": False})
        AcceptedEnvelope.model_validate(answer.json(), strict=True)
        assert answer.status == 202
        command = api.get(answer.headers["location"]).json()["data"]
        assert (command["kind"], command["status"], command["reply"]["fps"]) == ("test_connection", "ok", 25)
        assert command["id"] == answer.json()["data"]["command_id"]


def test_the_body_may_be_absent(database_url: str) -> None:
    """All fields have defaults: ten seconds, with credentials."""
    device = AnsweringDevice(database_url, lambda _: {})
    with _api(database_url, device) as api:
        assert _result(api.call("POST", TEST))["success"] is True
    [(_, command)] = device.sent
    assert (command["camera_id"], command["timeout_s"], command["check_credentials"]) == ("front-door", 10, True)


@pytest.mark.parametrize("body", [{"timeout_seconds": 0}, {"timeout_seconds": 21}, {"check_credentials": 1}, {"x": 1}])
def test_invalid_bodies_are_a_422(database_url: str, body: dict[str, Any]) -> None:
    """No command is sent."""
    commands = RecordingCommands()
    with _api(database_url, commands) as api:
        assert api.post(TEST, body).error().status == 422
    assert commands.sent == []


def test_devices_that_cannot_be_asked(database_url: str) -> None:
    """409 with the reason, and 404 for a camera that does not exist."""
    with _api(database_url, RecordingCommands()) as api:
        store_device(database_url, age_s=95)
        assert api.post(TEST, {}).error().code == "device-offline"
        assert api.post(PATH, {"name": "Attic", "rtsp_url": "rtsp://c/2"}).status == 201
        assert api.post(f"{PATH}/attic/test-connection", {}).error().code == "camera-without-device"
        assert api.post(f"{PATH}/nobody/test-connection", {}).error().code == "camera-not-found"


def test_a_configured_device_gets_the_camera_as_the_api_has_it(database_url: str, tmp_path: Path) -> None:
    """With its password sealed to the device, and without the settings that do not matter for a connection."""
    key = X25519PrivateKey.generate()
    public_key = b64encode(key.public_key().public_bytes_raw()).decode()
    device = AnsweringDevice(database_url, lambda _: {})
    store_device(database_url)
    handler, deps = lambda_api(
        database_url, commands=device, camera_passwords=CameraPasswords(master_keys=keys(tmp_path))
    )
    api = ApiCalls(handler)
    camera = {
        "name": "Front Door",
        "rtsp_url": "rtsp://192.168.1.9/live",
        "username": "viewer",
        "password": PASSWORD,
        "device_id": "gate-01",
        "settings": {"stream": {"rtsp_transport": "udp"}, "motion": {"threshold": 30}},
    }
    assert api.post(PATH, camera).status == 201
    assert _result(api.post(TEST, {}))["success"] is True
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE device_configurations SET managed = true, public_key = %s", [public_key])
    assert _result(api.post(TEST, {}))["success"] is True
    before, command = [command for topic, command in device.sent if topic.endswith("/test_connection")]
    assert "camera" not in before
    sent = command["camera"]
    assert (sent["camera_id"], sent["source"], sent["username"]) == ("front-door", "rtsp://192.168.1.9/live", "viewer")
    assert sent["settings"] == {"stream": {"rtsp_transport": "udp"}}
    assert open_password(sent["password_sealed"], private_key=key, camera_id="front-door") == PASSWORD
    assert PASSWORD not in json.dumps(device.sent)
    handler.close()
    deps.close()
