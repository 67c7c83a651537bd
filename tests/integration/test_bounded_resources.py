"""What a device holds does not grow with what happens to it: threads, open files and objects are counted."""

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
class Held:
    """What this process holds at a moment."""

    threads: int
    files: int
    objects: int


def held(kind: type) -> Held:
    """Count threads, open files, and live objects of this kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # what earlier tests in this process have left is not ours
        gc.collect()
    return Held(
        threads=threading.active_count(),
        files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        objects=sum(isinstance(one, kind) for one in gc.get_objects()),
    )


def no_more_than(before: Held, kind: type) -> Callable[[], bool]:
    """Tell whether no more is held than before; what has just ended may need a moment to let go."""

    def settled() -> bool:
        now = held(kind)
        time.sleep(0.05)
        return now.threads <= before.threads and now.files <= before.files and now.objects <= before.objects

    return settled


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_edge_39_a_camera_that_drops_again_and_again_leaves_nothing_behind() -> None:
    """After thirty lost connections the agent holds what it held after the first."""
    others = held(NetworkConnection)  # what earlier tests in this process still refer to
    with RtspServer(numbered(50, width=160, height=64)) as server:
        source = open_source(server.url(), settings=QUICK, clock=SystemClock())

        def seen(plays: int) -> bool:
            return server.seen.plays >= plays and source.read(0.05) is not None

        eventually(lambda: seen(1))
        server.drop()
        eventually(lambda: seen(2))
        before = held(NetworkConnection)
        assert before.objects - others.objects <= 2  # the last error refers to the connection that it ended
        for plays in range(3, 33):
            server.drop()
            eventually(lambda plays=plays: seen(plays), within_s=60)
        eventually(no_more_than(before, NetworkConnection))
        source.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_edge_39_a_broker_that_hangs_up_again_and_again_leaves_nothing_behind() -> None:
    """After sixty lost connections there is one client, and as many threads and sockets as before."""
    others = held(paho.Client)
    broker = ScriptedBroker()
    settings = MqttSettings(host="127.0.0.1", port=broker.port, reconnect_min_s=0.01, reconnect_max_s=0.02)
    publisher = MqttPublisher(settings=settings, topics=DeviceTopics("hq", "gate-01"), on_command=lambda *_: None)
    publisher.start()
    try:
        eventually(lambda: publisher.connected)
        before = held(paho.Client)
        for count in range(2, 62):
            broker.drop_connections()
            eventually(lambda count=count: len(broker.connects) >= count and publisher.connected, within_s=60)
        assert before.objects - others.objects <= 1
        eventually(no_more_than(before, paho.Client))
    finally:
        publisher.close()
        broker.close()


def test_edge_39_visits_that_are_over_are_forgotten() -> None:
    """Somebody crosses a hundred times: as many objects live after the last crossing as after the twentieth."""
    told: list[str] = []

    def publish(built: BuiltEvent) -> None:
        if isinstance(built.event, TrackingEvent):
            told.append(built.event.event_data.tracking_action)

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
    before, left = len(gc.get_objects()), told.count("left")
    for _ in range(80):
        cross()
    gc.collect()
    assert told.count("left") - left > 60
    assert len(gc.get_objects()) - before < 40
    pipeline.close()


def test_edge_39_an_outbox_without_a_broker_stays_as_large_as_it_may(tmp_path: Path) -> None:
    """Weeks of events with pictures: file and memory are bounded, whatever was put."""
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
