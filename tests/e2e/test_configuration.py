"""The API configures a real agent: changes converge, a bad one is rolled back, no password leaves its seal."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from infra.local.demo.device import DEVICE_ID, StackUrls, agent_process
from infra.local.processes.process import Process
from tests.e2e.conftest import RunningStack, running_stack
from tests.support.ports import reserve_port
from tests.support.users import stack_admin

pytestmark = pytest.mark.xdist_group("configuration")

PATIENCE_S = 90.0
SECRET = "pl4nted-s3cret"
SCENE: dict[str, Any] = {"settings": {"model": {"name": "none"}}}


class Site:
    """A stack with one agent that has no camera of its own, and a client of the API."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self.stack = stack
        self.agent: Process = agent_process(StackUrls(broker=stack["broker"], aws=stack["aws"]), folder=folder)
        self.api = httpx.Client(base_url=f"{stack['api']}/api/v1/cameras", headers=stack_admin(stack.stack), timeout=60)
        self.answers: list[str] = []
        self.traffic: list[bytes] = []
        self._listener = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._listener.on_message = lambda _client, _data, message: self.traffic.append(bytes(message.payload))
        self._listener.connect("127.0.0.1", int(stack["broker"].rsplit(":", 1)[1]))
        self._listener.subscribe("vedette/#")
        self._listener.loop_start()

    def close(self) -> None:
        self.agent.stop()
        self._listener.disconnect()
        self._listener.loop_stop()
        self.api.close()

    def call(self, method: str, path: str = "", **content: Any) -> dict[str, Any]:
        answer = self.api.request(method, path, json=content or None)
        self.answers.append(answer.text)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()["data"]

    def answers_calls(self) -> bool:
        try:
            return self.api.get("/summary").status_code == 200
        except httpx.TransportError:
            return False

    def state(self, camera: str) -> dict[str, Any]:
        return self.call("GET", f"/{camera}")["configuration"]

    def reaches(self, camera: str, state: str) -> bool:
        """Wait until the camera's configuration has this state."""
        return self.stack.until(lambda: self.state(camera)["state"] == state, timeout_s=PATIENCE_S)

    def count(self, camera: str) -> int:
        with psycopg.connect(self.stack["database"]) as connection:
            row = connection.execute("SELECT count(*) FROM events WHERE camera_id = %s", [camera]).fetchone()
        return 0 if row is None else row[0]

    def gets_events(self, camera: str) -> bool:
        """Wait until further events of the camera have arrived."""
        before = self.count(camera)
        return self.stack.until(lambda: self.count(camera) > before, timeout_s=PATIENCE_S)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A stack of its own, because which device gets a new camera depends on all devices that it knows."""
    with running_stack() as stack:
        one = Site(stack, tmp_path_factory.mktemp("agent"))
        yield one
        one.close()


def test_a_device_that_was_off_converges_to_the_last_of_ten_changes(site: Site) -> None:
    """The camera's events arrive, and the API says that the version is applied."""
    site.call("POST", name="First", rtsp_url="synthetic:gate", device_id=DEVICE_ID, **SCENE)
    for number in range(9):
        detect = {"min_score": 0.1 + number / 100}
        settings = {"model": {"name": "none"}, "detect": detect}
        site.call("PUT", "/first", name="First", rtsp_url="synthetic:gate", device_id=DEVICE_ID, settings=settings)
    assert site.state("first")["state"] == "pending"
    site.agent.start()
    assert site.reaches("first", "applied")
    assert site.state("first")["version"] == 10
    assert site.gets_events("first")


def test_the_events_of_a_second_camera_arrive(site: Site) -> None:
    """It names no device, so it gets the only one; the first camera keeps running."""
    second = site.call("POST", name="Second", rtsp_url="synthetic:gate?seed=2", **SCENE)
    assert second["device_id"] == DEVICE_ID
    assert site.reaches("second", "applied")
    assert site.gets_events("second")
    assert site.gets_events("first")


def test_an_unreachable_camera_is_rolled_back_with_the_reason(site: Site) -> None:
    """The device keeps the previous source, whose events go on, and no password is seen anywhere on the way."""
    address = f"rtsp://viewer:{SECRET}@127.0.0.1:{reserve_port()}/stream"
    site.call("PUT", "/second", name="Second", rtsp_url=address, device_id=DEVICE_ID, **SCENE)
    assert site.reaches("second", "rejected")
    state = site.state("second")
    assert "camera second: connection refused" in state["error"]
    assert state["applied_version"] == state["version"] - 1
    assert site.gets_events("second")
    configured = [payload for payload in site.traffic if b'"command":"configure"' in payload]
    assert any(b"password_sealed" in payload for payload in configured)
    assert SECRET.encode() not in b"".join(site.traffic)
    assert SECRET not in "".join(site.answers)
    logs = [*site.stack.state.logs.glob("*.log"), site.agent.log_path]
    assert not [path for path in logs if SECRET.encode() in path.read_bytes()]
    scene = {"rtsp_url": "synthetic:gate?seed=3", "password": None} | SCENE
    site.call("PUT", "/second", name="Second", device_id=DEVICE_ID, **scene)
    assert site.reaches("second", "applied")


def test_an_api_that_dies_before_it_sends_delays_a_change_only(site: Site) -> None:
    """The database has the change, as after a kill between commit and message; the next heartbeat heals it."""
    with psycopg.connect(site.stack["database"], autocommit=True) as connection:
        connection.execute("UPDATE cameras SET rtsp_url = 'synthetic:gate?seed=4' WHERE slug = 'second'")
    assert site.state("second")["state"] == "pending"
    assert site.reaches("second", "applied")


@pytest.mark.parametrize("part", ["ingest", "iot_rule", "api"])
def test_a_killed_part_delays_a_change_only(site: Site, part: str) -> None:
    """A heartbeat after its restart heals what was lost with it."""
    os.kill(site.stack.pid_of(part), signal.SIGKILL)
    if part == "api":
        assert site.stack.until(site.answers_calls, timeout_s=PATIENCE_S)
    address = f"synthetic:gate?seed={5 + len(part)}"
    site.call("PUT", "/second", name="Second", rtsp_url=address, device_id=DEVICE_ID, **SCENE)
    assert site.reaches("second", "applied")
    assert site.gets_events("second")
