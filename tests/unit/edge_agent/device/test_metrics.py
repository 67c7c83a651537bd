"""The agent's metrics: what each part counts, and the text that is served."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.config import load_config
from edge_agent.device.camera_counters import CameraCounters
from edge_agent.device.metrics import AgentMetrics
from edge_agent.outbox import Outbox, WaitingImage
from edge_agent.transport.delivery_counters import DeliveryCounters
from edge_agent.transport.image_uploader import ImageUploader
from edge_agent.transport.sender import Sender
from edge_agent.transport.settings import SenderSettings
from shared.clock import ManualClock
from shared.errors import ConfigurationError, PermanentError, TransientError
from shared.heartbeat import CameraHealth, ConnectionHealth
from shared.metrics.exposition import Counter
from shared.metrics.table import AGENT
from tests.support.edge.fake_transport import FakePublisher
from tests.support.edge.outbox_builders import motion_event
from tests.support.waiting import eventually


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.db", clock=ManualClock())
    yield outbox
    outbox.close()


def metrics_of(outbox: Outbox, *, counters: CameraCounters | None = None) -> AgentMetrics:
    """Metrics of a device with one camera that has been connected twice to its broker."""
    return AgentMetrics(
        outbox=outbox,
        delivery=DeliveryCounters(),
        lost_events=Counter(),
        connected=lambda: True,
        connection=lambda: ConnectionHealth(reconnects=1, last_error="rtsp://user:secret@10.0.0.1 refused"),
        cameras=lambda: [CameraHealth(camera_id="yard", status="degraded", fps_actual=4.5, error="rtsp://10.0.0.1")],
        counters=lambda: {"yard": counters or CameraCounters(stage_seconds={"motion": 0.25})},
        started_at_s=1.0,
    )


def values(text: str) -> dict[str, float]:
    """Return the value of each series."""
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def test_each_metric_of_the_table_is_served(outbox: Outbox) -> None:
    """A row in the table that no code fills is an error, except where its value is unknown."""
    served = set(re.findall(r"# TYPE (\S+) ", metrics_of(outbox).text()))
    assert served == {metric.name for metric in AGENT}


def test_states_and_connections_are_those_of_the_heartbeat(outbox: Outbox) -> None:
    """Addresses and error texts, which may name cameras' addresses, are not in the metrics."""
    text = metrics_of(outbox).text()
    found = values(text)
    assert found['vedette_camera_up{camera="yard"}'] == 0
    assert found['vedette_camera_state{camera="yard",state="degraded"}'] == 1
    assert found['vedette_camera_state{camera="yard",state="online"}'] == 0
    assert found['vedette_camera_fps{camera="yard"}'] == 4.5
    assert (found["vedette_mqtt_connected"], found["vedette_mqtt_reconnects_total"]) == (1, 1)
    assert "10.0.0.1" not in text


def test_the_outbox_shows_what_waits_and_since_when(tmp_path: Path) -> None:
    """Age, number and size of events that wait; an empty queue has the age 0."""
    clock = ManualClock()
    outbox = Outbox(tmp_path / "outbox.db", clock=clock)
    outbox.put(motion_event())
    clock.advance(40)
    outbox.put(motion_event())
    clock.advance(2)
    found = values(metrics_of(outbox).text())
    assert found['vedette_outbox_rows{type="event"}'] == 2
    assert found['vedette_outbox_bytes{type="event"}'] > 200
    assert found['vedette_outbox_oldest_seconds{type="event"}'] == pytest.approx(42)
    assert found['vedette_outbox_oldest_seconds{type="image"}'] == 0
    outbox.events.ack(outbox.events.take(1))
    assert values(metrics_of(outbox).text())['vedette_outbox_oldest_seconds{type="event"}'] == pytest.approx(2)
    outbox.close()


def test_frames_that_were_skipped_are_counted_as_dropped() -> None:
    """Gaps in the numbers of frames; numbers that start again after a reconnect are no gap."""
    counters = CameraCounters()
    for number in (1, 2, 5, 1, 2):
        counters.count_frame(number)
    assert (counters.frames, counters.frames_dropped) == (5, 2)


def test_acknowledged_events_are_measured_from_their_capture(outbox: Outbox) -> None:
    """The time ends with the broker's acknowledgement; a clock that was set back counts as no time."""
    event = motion_event()
    outbox.put(event)
    clock = ManualClock(event.timestamp + timedelta(seconds=3))
    counters = DeliveryCounters(clock)
    publisher = FakePublisher()
    sender = Sender(outbox=outbox, publisher=publisher, counters=counters)
    sender.start()
    eventually(lambda: counters.acknowledged.value == 1)
    assert counters.capture_to_ack.state().sum == pytest.approx(3)
    clock.step(-60)
    outbox.put(event.model_copy(update={"event_id": motion_event().event_id}))
    eventually(lambda: counters.acknowledged.value == 2)
    assert counters.capture_to_ack.state().sum == pytest.approx(3)
    sender.close()


class Store:
    """An image store with the outcomes given."""

    def __init__(self, outcomes: list[Exception | None]) -> None:
        self._outcomes = outcomes

    def put(self, object_key: str, body: bytes, *, content_type: str) -> None:
        del object_key, body, content_type
        if (error := self._outcomes.pop(0)) is not None:
            raise error


def test_uploads_are_counted_by_result(outbox: Outbox) -> None:
    """A refused image, a store that fails, and a stored image."""
    counters = DeliveryCounters()
    errors = [PermanentError("too large"), TransientError("no network"), RuntimeError("?"), None]
    uploader = ImageUploader(outbox=outbox, store=Store(list(errors)), settings=SenderSettings(), counters=counters)
    for _ in errors:
        uploader.send(WaitingImage("epoch", 1, 0, "key", "image/jpeg", b"x"))
    assert {name: counter.value for name, counter in counters.uploads.items()} == {
        "stored": 1,
        "refused": 1,
        "failed": 2,
    }


def test_without_metrics_nothing_is_counted_in_delivery(outbox: Outbox) -> None:
    """An event is acknowledged as before."""
    outbox.put(motion_event())
    sender = Sender(outbox=outbox, publisher=FakePublisher())
    sender.start()
    eventually(lambda: outbox.health().pending_events == 0)
    sender.close()


@pytest.mark.parametrize("value", ['"9464"', '"127.0.0.1:port"', '"camera.example:80"', "9464"])
def test_a_bad_address_is_a_configuration_error(tmp_path: Path, value: str) -> None:
    """The error names the setting."""
    path = tmp_path / "agent.toml"
    path.write_text(
        f'site_id = "hq"\ndevice_id = "gate"\nstate_dir = "{tmp_path}"\n[mqtt]\nhost = "h"\n'
        f"[metrics]\nlisten = {value}\n"
    )
    with pytest.raises(ConfigurationError, match=r"metrics\.listen: "):
        load_config(path)


def test_metrics_are_off_by_default(tmp_path: Path) -> None:
    """Without ``listen`` there is no address to serve."""
    path = tmp_path / "agent.toml"
    path.write_text(f'site_id = "hq"\ndevice_id = "gate"\nstate_dir = "{tmp_path}"\n[mqtt]\nhost = "h"\n')
    assert load_config(path).metrics.address is None
