"""The resources of a device stay bounded: the tests count threads, open files and objects."""

from __future__ import annotations

import gc
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import paho.mqtt.client as paho
import pytest

from edge_agent.camera.ip_camera import NetworkConnection
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import open_source
from edge_agent.config import CameraSettings
from edge_agent.events.builder import BuiltEvent
from edge_agent.outbox import Outbox, OutboxSettings
from edge_agent.pipeline.build import build_pipeline
from edge_agent.pipeline.context import CameraContext, DeviceContext
from edge_agent.transport.mqtt import MqttPublisher
from edge_agent.transport.settings import MqttSettings
from edge_agent.types import ArrayPicture, Frame
from shared.clock import SystemClock
from shared.events import TrackingEvent
from shared.topics import DeviceTopics
from tests.support.clips import numbered
from tests.support.edge.builders import START
from tests.support.edge.outbox_builders import tracking_event, with_image
from tests.support.rtsp_server import RtspServer
from tests.support.scripted_broker import ScriptedBroker
from tests.support.waiting import eventually

QUICK = SourceSettings(open_timeout_s=15, watchdog_s=10, backoff_min_s=0.01, backoff_max_s=0.02)


@dataclass(frozen=True)
class ResourceUsage:
    """The resources that this process uses at a moment."""

    threads: int
    files: int
    objects: int


def resource_usage(kind: type) -> ResourceUsage:
    """Count threads, open files, and live objects of this type."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # earlier tests in this process may leave open resources
        gc.collect()
    return ResourceUsage(
        threads=threading.active_count(),
        files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        objects=sum(isinstance(one, kind) for one in gc.get_objects()),
    )


def not_above(before: ResourceUsage, kind: type) -> Callable[[], bool]:
    """Return a condition that is true when usage is not above ``before``; resources may be released with a delay."""

    def settled() -> bool:
        now = resource_usage(kind)
        time.sleep(0.05)
        return now.threads <= before.threads and now.files <= before.files and now.objects <= before.objects

    return settled


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_edge_39_lost_camera_connections_leak_nothing() -> None:
    """After thirty lost connections the agent uses no more threads, files and objects than after the first."""
    others = resource_usage(NetworkConnection)  # objects that earlier tests in this process still reference
    with RtspServer(numbered(50, width=160, height=64)) as server:
        source = open_source(server.url(), settings=QUICK, clock=SystemClock())

        def seen(plays: int) -> bool:
            return server.seen.plays >= plays and source.read(0.05) is not None

        eventually(lambda: seen(1))
        server.drop()
        eventually(lambda: seen(2))
        before = resource_usage(NetworkConnection)
        assert before.objects - others.objects <= 2  # the last error references the connection that it ended
        for plays in range(3, 33):
            server.drop()
            eventually(lambda plays=plays: seen(plays), within_s=60)
        eventually(not_above(before, NetworkConnection))
        source.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_edge_39_lost_broker_connections_leak_nothing() -> None:
    """After sixty lost connections there is one client, and no additional thread or socket."""
    others = resource_usage(paho.Client)
    broker = ScriptedBroker()
    settings = MqttSettings(host="127.0.0.1", port=broker.port, reconnect_min_s=0.01, reconnect_max_s=0.02)
    publisher = MqttPublisher(settings=settings, topics=DeviceTopics("hq", "gate-01"), on_command=lambda *_: None)
    publisher.start()
    try:
        eventually(lambda: publisher.connected)
        before = resource_usage(paho.Client)
        for count in range(2, 62):
            broker.drop_connections()
            eventually(lambda count=count: len(broker.connects) >= count and publisher.connected, within_s=60)
        assert before.objects - others.objects <= 1
        eventually(not_above(before, paho.Client))
    finally:
        publisher.close()
        broker.close()


def test_edge_39_ended_tracks_are_released() -> None:
    """An object crosses the picture a hundred times; the number of live objects does not grow after the twentieth."""
    actions: list[str] = []

    def publish(built: BuiltEvent) -> None:
        if isinstance(built.event, TrackingEvent):
            actions.append(built.event.event_data.tracking_action)

    camera = CameraSettings.model_validate(
        {"id": "yard", "source": "none", "model": {"name": "none"}, "snapshots": {"enabled": False}}
    )
    pipeline = build_pipeline(
        camera,
        context=CameraContext(device=DeviceContext(site_id="site", device_id="device", publish=publish, new_id=uuid4)),
        model=None,
        run_id="test",
    )
    number = 0

    def cross() -> None:
        nonlocal number
        for x in range(-20, 180, 8):
            picture = np.full((90, 160, 3), 110, np.uint8)
            picture[30:70, max(0, x) : max(0, x + 20)] = 20
            time_s = number / 10
            number += 1
            at = START + timedelta(seconds=time_s)
            pipeline.process(Frame(number=number, timestamp=at, time_s=time_s, picture=ArrayPicture(picture)))
        number += 60  # six seconds without a frame

    for _ in range(20):
        cross()
    gc.collect()
    before, left = len(gc.get_objects()), actions.count("left")
    for _ in range(80):
        cross()
    gc.collect()
    assert actions.count("left") - left > 60
    assert len(gc.get_objects()) - before < 40
    pipeline.close()


def test_edge_39_outbox_without_broker_stays_within_its_limit(tmp_path: Path) -> None:
    """The file and the memory of the outbox stay bounded while events with pictures are added."""
    limit = 2 << 20
    outbox = Outbox(tmp_path / "outbox.db", settings=OutboxSettings(max_file_bytes=limit))

    def fill(count: int) -> None:
        for _ in range(count):
            outbox.put(with_image(tracking_event("updated")), snapshot=b"i" * 30_000)

    fill(100)
    gc.collect()
    before = len(gc.get_objects())
    fill(400)
    gc.collect()
    assert outbox.health().last_sequence == 500
    assert len(gc.get_objects()) - before < 100
    sizes = [path.stat().st_size for path in tmp_path.iterdir() if path.name.startswith("outbox.db")]
    assert sum(sizes) < 3 * limit
    outbox.close()
