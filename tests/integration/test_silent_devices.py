"""Devices that fall silent and return: the history of their cameras, and one event each way through ingest."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cloud_functions.aws import AwsClients
from cloud_functions.maintenance.event_queue import SqsEventQueue
from cloud_functions.maintenance.handler import Maintenance, build_maintenance
from infra.local.servers.aws import aws_environment
from shared.clock import SystemClock
from shared.events import CameraStatusEvent, parse_event
from shared.iot_envelope import encode_ingest_message
from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.command_devices import store_device
from tests.support.ingest_harness import IngestHarness, RecordingCommands, open_database, open_ingest
from tests.support.managed_device import ManagedDevice
from tests.support.wire_events import batch_of, failures, wire_event

ONLINE = [{"camera_id": "gate", "status": "online", "fps_actual": 24.5}, {"camera_id": "yard", "status": "degraded"}]
OFF = {"camera_id": "attic", "status": "offline"}


@dataclass
class FakeQueue:
    """Keeps what is sent to the ingest queue; sends nothing while ``unavailable``."""

    bodies: list[str] = field(default_factory=list)
    unavailable: bool = False

    def send(self, bodies: Mapping[str, str], attributes: object = None) -> set[str]:
        del attributes
        if self.unavailable:
            return set(bodies)
        self.bodies += bodies.values()
        return set()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(_payload(body)) for body in self.bodies]


def _payload(body: str) -> bytes:
    return base64.b64decode(json.loads(body)["payload_base64"])


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url) as one:
        yield one


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def maintenance(database_url: str, queue: FakeQueue) -> Iterator[Maintenance]:
    database = open_database(database_url)
    yield build_maintenance({"DATABASE_URL": database_url}, database=database, events=queue)
    database.close()


def _sweep(maintenance: Maintenance) -> int:
    return maintenance.handle({"task": "devices"})["devices"]


def _age(url: str, device_id: str = "gate-01", *, age_s: float) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE devices SET last_seen_at = now() - %s * interval '1 second' WHERE device_id = %s",
            [age_s, device_id],
        )


def _states(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((event["camera_id"], event["event_data"]["status"]) for event in events)


def test_a_silent_device_is_reported_once_and_its_return_once(
    database_url: str, maintenance: Maintenance, queue: FakeQueue, ingest: IngestHarness
) -> None:
    """Subscribers get one event for each camera that was connected, and one when it is again; more sweeps add none."""
    store_device(database_url, age_s=80, cameras=[*ONLINE, OFF])
    assert _sweep(maintenance) == 0
    _age(database_url, age_s=95)
    assert _sweep(maintenance) == 3
    assert _sweep(maintenance) == 0
    assert _states(queue.events()) == [("gate", "offline"), ("yard", "offline")]
    for body in queue.bodies:
        event = parse_event(_payload(body))
        assert isinstance(event, CameraStatusEvent)
        assert (event.event_data.cause, event.sequence) == ("device_silent", None)
    assert failures(ingest.handle(batch_of(queue.bodies * 2))) == []
    assert _states(ingest.publisher.documents()[:2]) == [("gate", "offline"), ("yard", "offline")]
    assert ingest.rows("SELECT count(*) FROM events") == [(2,)]
    queue.bodies.clear()
    store_device(database_url, cameras=[*ONLINE, OFF])
    assert _sweep(maintenance) == 3
    assert _sweep(maintenance) == 0
    assert _states(queue.events()) == [("gate", "online"), ("yard", "degraded")]
    assert {event["event_data"].get("fps_actual") for event in queue.events()} == {24.5, None}
    assert failures(ingest.handle(batch_of(queue.bodies))) == []
    assert ingest.rows("SELECT count(*), count(DISTINCT event_id) FROM events") == [(4, 4)]
    assert ingest.dead_letters.reasons() == []


def test_the_events_of_a_silent_device_are_no_sign_of_life(
    database_url: str, maintenance: Maintenance, queue: FakeQueue, ingest: IngestHarness
) -> None:
    """Otherwise the event would end the outage that it reports, and the next silence would begin another one."""
    store_device(database_url, age_s=95, cameras=ONLINE)
    _sweep(maintenance)
    before = ingest.rows("SELECT last_seen_at FROM devices")
    assert failures(ingest.handle(batch_of(queue.bodies))) == []
    assert ingest.rows("SELECT last_seen_at FROM devices") == before
    assert _sweep(maintenance) == 0
    assert ingest.rows("SELECT count(*) FROM device_outages WHERE ended_at IS NULL") == [(1,)]


def test_an_event_that_is_not_a_heartbeat_does_not_end_an_outage(database_url: str, maintenance: Maintenance) -> None:
    """The states of the cameras in the old heartbeat are those from before the outage."""
    store_device(database_url, age_s=95, cameras=ONLINE)
    assert _sweep(maintenance) == 3
    _age(database_url, age_s=0)
    assert _sweep(maintenance) == 0


def test_a_device_that_reports_its_cameras_itself_is_not_repeated(
    database_url: str, maintenance: Maintenance, queue: FakeQueue, ingest: IngestHarness
) -> None:
    """An agent that starts again sends an event for each camera; only the other cameras get one from the cloud."""
    store_device(database_url, age_s=95, cameras=ONLINE)
    _sweep(maintenance)
    queue.bodies.clear()
    data = {"status": "online"}
    own = wire_event(camera_id="gate", sequence=7, timestamp=_now(database_url), snapshot=None)
    own |= {"event_type": "camera_status", "event_data": data}
    topic = "vedette/hq/gate-01/events/gate/camera_status"
    body = encode_ingest_message(topic=topic, payload=json.dumps(own).encode(), client_id="d", received_at_ms=1)
    assert failures(ingest.handle(batch_of([body]))) == []
    store_device(database_url, cameras=ONLINE)
    _sweep(maintenance)
    assert _states(queue.events()) == [("yard", "degraded")]


def _now(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        ).fetchone()
    assert row is not None
    return row[0]


def test_a_heartbeat_that_ingest_processes_late_does_not_end_an_outage(
    database_url: str, maintenance: Maintenance, queue: FakeQueue
) -> None:
    """The broker had it before the outage. Ending it would report the cameras twice more; a later heartbeat ends it."""
    now = datetime.now(UTC)
    with open_ingest(database_url, clock=SystemClock()) as ingest:
        device = ManagedDevice(ingest, RecordingCommands())
        device.beat(
            at=now - timedelta(seconds=130), timestamp=(now - timedelta(seconds=130)).isoformat(), cameras=ONLINE
        )
        _age(database_url, age_s=130)
        assert _sweep(maintenance) == 3
        for late_s in (100, 130, 100):
            sent_at = now - timedelta(seconds=late_s)
            device.beat(at=sent_at, timestamp=sent_at.isoformat(), cameras=ONLINE)
            assert _sweep(maintenance) == 0
        device.beat(cameras=ONLINE)
        assert _sweep(maintenance) == 3
        assert _sweep(maintenance) == 0
    assert _states(queue.events()) == [
        ("gate", "offline"), ("gate", "online"), ("yard", "degraded"), ("yard", "offline"),
    ]  # fmt: skip


def test_a_camera_that_was_moved_to_another_device_is_not_reported(
    database_url: str, maintenance: Maintenance, queue: FakeQueue
) -> None:
    """The other device runs it and reports it itself, also when the silent one returns with its old cameras."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO cameras (id, slug, name, rtsp_url, device_id) SELECT gen_random_uuid(), slug, slug, 'usb:0',"
            " device_id FROM (VALUES ('gate', 'gate-02'), ('yard', 'gate-01')) AS given (slug, device_id)"
        )
    store_device(database_url, age_s=95, cameras=ONLINE)
    assert _sweep(maintenance) == 2
    assert _states(queue.events()) == [("yard", "offline")]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE cameras SET device_id = 'gate-02'")
    store_device(database_url, cameras=ONLINE)
    assert _sweep(maintenance) == 1
    assert len(queue.bodies) == 1


def test_a_camera_that_is_still_offline_does_not_return(
    database_url: str, maintenance: Maintenance, queue: FakeQueue
) -> None:
    """Its device is back, but the camera is not."""
    store_device(database_url, age_s=95, cameras=ONLINE)
    _sweep(maintenance)
    queue.bodies.clear()
    store_device(database_url, cameras=[{"camera_id": "gate", "status": "offline", "error": "no answer"}, ONLINE[1]])
    assert _sweep(maintenance) == 2
    assert _states(queue.events()) == [("yard", "degraded")]


def test_events_that_could_not_be_sent_are_sent_later(
    database_url: str, maintenance: Maintenance, queue: FakeQueue
) -> None:
    """The outage is recorded once, and its events stay the same."""
    store_device(database_url, age_s=95, cameras=ONLINE)
    queue.unavailable = True
    with pytest.raises(Exception, match=r"devices\.send"):
        _sweep(maintenance)
    assert queue.bodies == []
    queue.unavailable = False
    assert _sweep(maintenance) == 2
    assert _states(queue.events()) == [("gate", "offline"), ("yard", "offline")]
    assert _sweep(maintenance) == 0


def test_sweeps_at_the_same_time_report_each_device_once(database_url: str, queue: FakeQueue) -> None:
    """Six sweeps and twenty devices: one event for each camera."""
    for number in range(20):
        store_device(database_url, f"device-{number}", age_s=95, cameras=ONLINE)
    barrier = threading.Barrier(6)

    def run() -> None:
        database = open_database(database_url)
        one = build_maintenance({"DATABASE_URL": database_url}, database=database, events=queue)
        barrier.wait()
        for _ in range(3):
            _sweep(one)
        database.close()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = queue.events()
    assert len({event["event_id"] for event in events}) == 40
    assert len(events) == 40


def test_a_device_that_has_been_silent_for_long_is_no_news(
    database_url: str, maintenance: Maintenance, queue: FakeQueue
) -> None:
    """After an upgrade, a device that was taken away years ago must not raise an alarm."""
    store_device(database_url, age_s=90_000, cameras=ONLINE)
    assert _sweep(maintenance) == 0
    assert queue.bodies == []


def test_the_history_of_its_cameras_says_offline(database_url: str, maintenance: Maintenance) -> None:
    """One record, for the cameras that were connected; the API knows one of them."""
    handler, deps = lambda_api(database_url)
    api = ApiCalls(handler)
    for name in ("Gate", "Attic", "Hall"):
        camera = {"name": name, "rtsp_url": "rtsp://c/1", "device_id": "gate-01"}
        assert api.post("/api/v1/cameras", camera).status == 201
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO camera_health (camera_id, status, is_connected, last_check)"
            " SELECT id, CASE slug WHEN 'gate' THEN 'online' ELSE 'offline' END, slug = 'gate',"
            " now() - interval '2 min'"
            " FROM cameras WHERE slug <> 'hall'"
        )
    store_device(database_url, age_s=95, cameras=[ONLINE[0], OFF])
    _sweep(maintenance)
    _sweep(maintenance)
    records = {name: api.get(f"/api/v1/cameras/{name}/health").json()["data"] for name in ("gate", "attic", "hall")}
    assert [len(records[name]) for name in ("gate", "attic", "hall")] == [2, 1, 0]
    newest = records["gate"][0]
    assert (newest["status"], newest["is_connected"]) == ("offline", False)
    assert newest["error"] == "the device has sent nothing for 90 seconds"
    handler.close()
    deps.close()


def test_without_a_queue_nothing_is_sent(database_url: str) -> None:
    """The outage is recorded; its events wait for a queue."""
    store_device(database_url, age_s=95, cameras=ONLINE)
    database = open_database(database_url)
    assert _sweep(build_maintenance({"DATABASE_URL": database_url}, database=database)) == 1
    database.close()


def test_old_outages_are_deleted(database_url: str, maintenance: Maintenance) -> None:
    """Ninety days after their end."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO device_outages (device_id, site_id, last_seen_at, ended_at, cameras)"
            " SELECT 'd', 'hq', now(), now() - days * interval '1 day', '{}' FROM generate_series(88, 93) AS days"
        )
    assert maintenance.handle({"task": "tidy"}) == {"tidy": 4}


def test_events_go_to_the_ingest_queue(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More messages than a request takes; a queue that does not exist keeps them all."""
    for name, value in aws_environment(moto_server).items():
        monkeypatch.setenv(name, value)
    aws = AwsClients()
    url = aws.client("sqs").create_queue(QueueName="ingest-of-silent-devices")["QueueUrl"]
    bodies = {f"event-{number}": f"body {number}" for number in range(12)}
    assert SqsEventQueue(queue_url=url, aws=aws).send(bodies) == set()
    attributes = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "12"
    assert SqsEventQueue(queue_url=f"{url}-missing", aws=aws).send(bodies) == set(bodies)
