"""Snapshots on demand on a complete stack with a real agent: captured through API, broker, agent and store."""

from __future__ import annotations

import base64
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
import psycopg
import pytest

from infra.local.demo.device import CAMERA_ID, DEVICE_ID, StackUrls, agent_process
from infra.local.processes.process import Process
from tests.e2e.conftest import RunningStack

pytestmark = pytest.mark.xdist_group("stack")

DEVICE, CAMERA, GROUP = "snapshot-device", "snapshot-gate", "snapshot-group"


class Site:
    """The stack with a camera whose agent runs, and another one in the same group whose device never came."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self.stack = stack
        urls = StackUrls(broker=stack["broker"], aws=stack["aws"])
        self.agent: Process = agent_process(urls, folder=folder, source="synthetic:gate", camera={"mode": "motion"})
        config = folder / "agent" / "agent.toml"
        text = config.read_text(encoding="utf-8").replace(f'"{DEVICE_ID}"', f'"{DEVICE}"')
        config.write_text(text.replace(f'"{CAMERA_ID}"', f'"{CAMERA}"'), encoding="utf-8")
        with psycopg.connect(stack["database"], autocommit=True) as connection:
            group = uuid4()
            connection.execute("INSERT INTO camera_groups (id, slug, name) VALUES (%s, %s, %s)", [group, GROUP, GROUP])
            for slug, device in ((CAMERA, DEVICE), (f"{CAMERA}-2", f"{DEVICE}-2")):
                connection.execute(
                    "INSERT INTO cameras (id, slug, name, rtsp_url, device_id, group_id)"
                    " VALUES (%s, %s, %s, 'synthetic:gate', %s, %s)",
                    [uuid4(), slug, slug, device, group],
                )

    def is_live(self) -> bool:
        with psycopg.connect(self.stack["database"]) as connection:
            query = (
                "SELECT 1 FROM devices, jsonb_array_elements(heartbeat -> 'cameras') AS camera"
                " WHERE device_id = %s AND status = 'online' AND camera ->> 'status' = 'online'"
            )
            return connection.execute(query, [DEVICE]).fetchone() is not None

    def call(self, method: str, path: str, *, body: Any = None, accept: str = "*/*") -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.stack['api']}{path}", data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def json(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        status, content = self.call(method, path, **options)
        return status, json.loads(content)


@pytest.fixture
def site(stack: RunningStack, tmp_path: Path) -> Iterator[Site]:
    one = Site(stack, tmp_path)
    one.agent.start()
    try:
        assert stack.until(one.is_live)
        yield one
    finally:
        one.agent.stop()
        with psycopg.connect(stack["database"], autocommit=True) as connection:
            connection.execute("DELETE FROM cameras WHERE starts_with(slug, %s)", [CAMERA])
            connection.execute("DELETE FROM camera_groups WHERE slug = %s", [GROUP])


def _size(image: bytes) -> tuple[int, int]:
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.shape[1], picture.shape[0]


def test_a_snapshot_is_captured_through_the_whole_stack(site: Site) -> None:
    """The response means that the image can be read; its size is the described one. Later the event has it too.

    A stopped agent is a 504, and delivers when it continues; an agent that has gone is a 409. In a group, the camera
    whose device is offline does not affect the other.
    """
    status, snapshot = site.json("POST", f"/api/snapshots/capture/{CAMERA}")
    assert (status, snapshot["status"]) == (200, "stored"), snapshot
    status, image = site.call("GET", snapshot["image_url"], accept="image/*")
    assert (status, len(image)) == (200, snapshot["file_size"])
    assert image[:2] == b"\xff\xd8"
    assert _size(image) == (snapshot["width"], snapshot["height"]) == (1280, 720)
    status, document = site.json("GET", f"/api/snapshots/{snapshot['id']}/image")
    assert (status, base64.b64decode(document["image_data"])) == (200, image)
    status, latest = site.json("GET", f"/api/snapshots/device/{DEVICE}/latest")
    assert (status, latest["id"]) == (200, snapshot["id"])

    body = {"timeout_seconds": 10, "save_thumbnail": True}
    status, enveloped = site.json("POST", f"/api/v1/cameras/{CAMERA}/snapshot", body=body)
    assert (status, enveloped["success"]) == (200, True), enveloped
    status, thumbnail = site.call("GET", enveloped["data"]["thumbnail_url"])
    assert (status, _size(thumbnail)[0]) == (200, 320)

    def is_an_event() -> bool:
        _, events = site.json("GET", f"/api/events?event_type=snapshot&camera_id={CAMERA}")
        known = {event["event_data"]["snapshot_id"] for event in events["events"]}
        return {snapshot["id"], enveloped["data"]["id"]} <= known

    assert site.stack.until(is_an_event)

    status, group = site.json("POST", f"/api/v1/cameras/groups/{GROUP}/snapshot")
    outcomes = {one["camera_slug"]: (one["status"], one["error"] and one["error"]["code"]) for one in group["data"]}
    assert outcomes == {CAMERA: ("stored", None), f"{CAMERA}-2": ("failed", "device-offline")}

    pid = site.agent.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        status, problem = site.json("POST", f"/api/snapshots/capture/{CAMERA}?timeout_seconds=1")
        assert (status, problem["type"]) == (504, "urn:vedette:problem:device-silent")
    finally:
        os.kill(pid, signal.SIGCONT)

    def is_delivered() -> bool:
        return len(site.json("GET", f"/api/snapshots/device/{CAMERA}")[1]["snapshots"]) == 4

    assert site.stack.until(is_delivered)

    site.agent.stop()
    assert site.stack.until(lambda: not site.is_live())
    status, problem = site.json("POST", f"/api/snapshots/capture/{CAMERA}")
    assert (status, problem["type"]) == (409, "urn:vedette:problem:device-offline")
