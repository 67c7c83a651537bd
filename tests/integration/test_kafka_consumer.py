"""``vedette-ingest kafka`` in real processes, with librdkafka's mock cluster and a real PostgreSQL: every record is
processed once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.local.processes.process import wait_until
from tests.support.backing_services import PostgresFixture
from tests.support.ingest_harness import RECOUNT, rows
from tests.support.kafka_cluster import FAST_CONSUMER, KafkaCluster
from tests.support.wire_events import encoded, mixed_traffic, wire_event

PARTITIONS = 4


class Member:
    """One consumer process."""

    def __init__(
        self, *, folder: Path, name: str, module: str, arguments: list[str], environment: Mapping[str, str]
    ) -> None:
        self._log = folder / f"{name}.log"
        command = [sys.executable, "-m", module, "kafka", *arguments]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, env={**os.environ, **environment})

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def partitions(self) -> int:
        """Return the number of partitions that this member has according to its log."""
        counts = re.findall(r"assigned .*; (\d+) partitions in total", self.log())
        return int(counts[-1]) if counts else 0

    def counted(self, what: str) -> int:
        """Return one count of the last logged statistics."""
        return int(re.findall(rf"(\d+) {what}", self.log())[-1])

    def wait_until_logged(self, what: str) -> None:
        assert wait_until(lambda: re.search(what, self.log()) is not None, timeout_s=30, poll_s=0.02), self.log()

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.wait()


class Scene:
    """A topic, a consumer group and a database of one test."""

    def __init__(self, *, name: str, kafka: KafkaCluster, database_url: str, folder: Path) -> None:
        self.kafka = kafka
        self.database_url = database_url
        self.topic = f"alpr.plates.{name}"
        self.group = f"group-{name}"
        self.rejected = f"{self.topic}.rejected"
        self._folder = folder
        self.members: list[Member] = []
        kafka.create_topic(self.topic, partitions=PARTITIONS)
        kafka.create_topic(self.rejected, partitions=1)
        self._properties = folder / "kafka.properties"
        lines = [f"{name}={value}" for name, value in FAST_CONSUMER.items() if name != "log_level"]
        self._properties.write_text("# for tests\n\n" + "\n".join(lines), encoding="utf-8")

    def start(self, *more: str, module: str = "cloud_functions.ingest.kafka.cli") -> Member:
        arguments = ["--brokers", self.kafka.brokers, "--topic", self.topic, "--group", self.group]
        arguments += ["--config", str(self._properties), "--dead-letter-topic", self.rejected, "--linger-ms", "20"]
        member = Member(
            folder=self._folder,
            name=f"member-{len(self.members)}",
            module=module,
            arguments=[*arguments, *more],
            environment={"DATABASE_URL": self.database_url},
        )
        self.members.append(member)
        return member

    def stored(self) -> int:
        """Return the number of stored events; 0 while the database is unavailable."""
        try:
            return int(rows(self.database_url, "SELECT count(*) FROM events")[0][0])
        except psycopg.OperationalError:
            return 0

    def wait_until_stored(self, least: int) -> None:
        reached = wait_until(lambda: self.stored() >= least, timeout_s=60, poll_s=0.05)
        assert reached, "\n".join(f"{self.stored()} are stored", *[member.log() for member in self.members])

    def committed(self) -> int:
        """Return the number of committed records over all partitions."""
        return sum(self.kafka.committed(self.topic, group=self.group).values())

    def wait_until_committed(self, count: int) -> None:
        assert wait_until(lambda: self.committed() == count, timeout_s=30, poll_s=0.1), self.committed()

    def assert_exactly_once(self, events: list[dict[str, Any]]) -> None:
        """Check that each produced event is stored once and that the counts are exact."""
        self.wait_until_stored(len(events))
        stored = [event_id for (event_id,) in rows(self.database_url, "SELECT event_id::text FROM events")]
        assert sorted(stored) == sorted(event["event_id"] for event in events)
        assert rows(self.database_url, RECOUNT) == []


@pytest.fixture
def scene(request: pytest.FixtureRequest, kafka: KafkaCluster, database_url: str, tmp_path: Path) -> Iterator[Scene]:
    name = re.sub(r"\W", "-", request.node.name.removeprefix("test_"))
    one = Scene(name=name, kafka=kafka, database_url=database_url, folder=tmp_path)
    yield one
    for member in one.members:
        if member.process.poll() is None:
            member.kill()


def test_events_arrive_and_are_committed(scene: Scene) -> None:
    """Events are stored once, statistics are logged every hundred messages, all offsets are committed, and SIGTERM
    ends the process with a summary."""
    events = mixed_traffic(250)
    scene.kafka.produce_events(scene.topic, events)
    member = scene.start("--batch", "50")
    scene.assert_exactly_once(events)
    scene.wait_until_committed(250)
    assert member.stop() == 0
    assert len(re.findall(r" \d+ messages: \d+ stored, 0 repeated, .* behind; \d+ messages/s", member.log())) == 2
    assert re.search(r" 250 messages: 250 stored, 0 repeated, 0 matched, 0 rejected; \d", member.log())


def test_cloud_20_member_killed_in_a_transaction_is_replaced(scene: Scene) -> None:
    """Of two members of a group, one is killed while it processes a batch; the other takes over its partitions."""
    events = mixed_traffic(800)
    members = [scene.start("--batch", "40"), scene.start("--batch", "40")]
    assert wait_until(lambda: all(member.partitions() > 0 for member in members), timeout_s=30, poll_s=0.05)
    scene.kafka.produce_events(scene.topic, events[:200])
    scene.wait_until_stored(50)
    with psycopg.connect(scene.database_url) as connection:
        connection.execute("LOCK TABLE events IN SHARE MODE")  # both members now process a batch
        scene.kafka.produce_events(scene.topic, events[200:600])
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        assert wait_until(lambda: rows(scene.database_url, waiting) == [(2,)], timeout_s=30, poll_s=0.02)
        members[0].kill()
    scene.kafka.produce_events(scene.topic, events[600:])
    scene.assert_exactly_once(events)
    scene.wait_until_committed(800)
    assert members[1].partitions() == PARTITIONS
    assert members[1].stop() == 0


def test_member_killed_before_the_offset_commit_repeats_nothing(scene: Scene) -> None:
    """The next member gets the stored records again and counts them as repeated."""
    events = mixed_traffic(120)
    scene.kafka.produce_events(scene.topic, events)
    first = scene.start("--batch", "30", module="tests.support.dying_consumer")
    assert first.process.wait(timeout=30) == -signal.SIGKILL
    stored = scene.stored()
    assert 0 < stored <= 30
    assert scene.committed() == 0
    second = scene.start("--batch", "30")
    scene.assert_exactly_once(events)
    scene.wait_until_committed(120)
    assert second.stop() == 0
    assert (second.counted("stored"), second.counted("repeated")) == (120 - stored, stored)


def test_sigterm_commits_the_offsets_of_stored_records(scene: Scene) -> None:
    """Exactly the offsets of stored records are committed, so the next member repeats nothing."""
    events = mixed_traffic(2200)
    scene.kafka.produce_events(scene.topic, events[:2000])
    first = scene.start("--batch", "10")
    scene.wait_until_stored(40)
    assert first.stop() == 0
    stored = scene.stored()
    assert 40 <= stored < 2000, "all events were stored before the test could stop the member"
    assert scene.committed() == stored
    scene.kafka.produce_events(scene.topic, events[2000:])
    second = scene.start("--batch", "500")
    scene.assert_exactly_once(events)
    scene.wait_until_committed(2200)
    assert second.stop() == 0
    assert f" {2200 - stored} messages: {2200 - stored} stored, 0 repeated," in second.log()


def test_cloud_20_members_join_and_leave_during_a_stream(scene: Scene) -> None:
    """Each event is stored once while partitions move between members, and a leaving member does not delay others.

    The mock broker accepts no commits during a rebalance (Kafka mostly does), so some records may be delivered twice.
    """
    events = mixed_traffic(3000)
    produced: list[dict[str, Any]] = []

    def stream_until(condition: Callable[[], bool]) -> None:
        """Produce events, at most a hundred ahead, so that the stream lasts until the condition is true."""

        def step() -> bool:
            if condition():
                return True
            if len(produced) - scene.stored() < 100:
                more = events[len(produced) : len(produced) + 10]
                scene.kafka.produce_events(scene.topic, more)
                produced.extend(more)
            return False

        assert wait_until(step, timeout_s=180, poll_s=0.05), [member.log() for member in scene.members]
        assert len(produced) < len(events)

    first = scene.start("--batch", "5")
    stream_until(lambda: scene.stored() >= 20)
    second = scene.start("--batch", "5")
    stream_until(lambda: second.partitions() > 0)
    assert first.stop() == 0
    stream_until(lambda: second.partitions() == PARTITIONS)
    scene.assert_exactly_once(produced)
    scene.wait_until_committed(len(produced))
    assert second.stop() == 0
    assert min(first.counted("stored"), second.counted("stored")) > 0
    assert first.counted("stored") + second.counted("stored") == len(produced)


def test_consumer_waits_while_the_database_is_down(scene: Scene, postgres: PostgresFixture) -> None:
    """While the database is down the consumer commits nothing and does not spin; then each event is stored once."""
    events = mixed_traffic(600)
    scene.kafka.produce_events(scene.topic, events[:200])
    member = scene.start("--batch", "20")  # more records than a member may hold
    scene.wait_until_stored(100)
    postgres.kill()
    try:
        scene.kafka.produce_events(scene.topic, events[200:])
        member.wait_until_logged(r"(?s)(deferring events because the database is unavailable.*){3}")
        committed = scene.committed()
        used_s = cpu_seconds(member.process.pid)
        member.wait_until_logged(r"(?s)(deferring events because the database is unavailable.*){5}")
        assert cpu_seconds(member.process.pid) - used_s < 0.5
        assert scene.committed() == committed
    finally:
        postgres.start()
    scene.assert_exactly_once(events)
    scene.wait_until_committed(600)
    assert committed < 600
    assert member.stop() == 0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_consumer_rejoins_after_a_broker_outage(scene: Scene) -> None:
    """Connections and sessions are lost; the member joins the group again and continues."""
    events = mixed_traffic(400)
    scene.kafka.produce_events(scene.topic, events[:200])
    member = scene.start("--batch", "50")
    scene.wait_until_stored(200)
    scene.kafka.take_down()
    member.wait_until_logged("lost alpr")
    scene.kafka.bring_up()
    scene.kafka.produce_events(scene.topic, events[200:])
    scene.assert_exactly_once(events)
    scene.wait_until_committed(400)
    assert member.stop() == 0


def test_cloud_20_invalid_records_become_dead_letters_and_block_no_partition(scene: Scene) -> None:
    """A dead letter has its reason, partition, offset and bytes; a value that is too large is truncated and marked."""
    good = [wire_event("anpr") for _ in range(8)]
    huge = b"x" * 600_000
    poison = [b"not an event", None, huge, encoded(wire_event() | {"schema_version": 99})]
    scene.kafka.produce(scene.topic, [*poison, *map(encoded, good)], key=b"gate-01", headers={"trace": "ü"})
    member = scene.start()
    scene.assert_exactly_once(good)
    letters = scene.kafka.read(scene.rejected, len(poison))
    found = {letter.key().decode(): (dict(letter.headers()), json.loads(letter.value())) for letter in letters}
    assert {key: headers["reason"].decode() for key, (headers, _) in found.items()} == {
        f"{scene.topic}-0@0": "not_json",
        f"{scene.topic}-1@0": "no_value",
        f"{scene.topic}-2@0": "too_large",
        f"{scene.topic}-3@0": "unknown_schema_version",
    }
    _, first = found[f"{scene.topic}-0@0"]
    assert (first["topic"], first["partition"], first["offset"]) == (scene.topic, 0, 0)
    assert (b64decode(first["key"]), b64decode(first["value"])) == (b"gate-01", b"not an event")
    assert [[name, b64decode(value).decode()] for name, value in first["headers"]] == [["trace", "ü"]]
    _, cut = found[f"{scene.topic}-2@0"]
    assert cut["value_bytes"] == len(huge)
    assert huge.startswith(b64decode(cut["value"]))
    scene.wait_until_committed(len(poison) + len(good))
    assert member.stop() == 0
    assert "4 rejected" in member.log()


def test_cloud_20_record_is_not_committed_until_its_dead_letter_is_sent(scene: Scene) -> None:
    """While the dead-letter topic refuses records, an invalid record stays uncommitted and the others are stored."""
    good = [wire_event() for _ in range(7)]
    scene.kafka.produce(scene.topic, [b"poison", *map(encoded, good)])
    scene.kafka.refuse_produce(5)
    member = scene.start()
    member.wait_until_logged("(?s)(a dead letter could not be sent.*){2}")
    assert scene.kafka.committed(scene.topic, group=scene.group) == {1: 2, 2: 2, 3: 2}
    assert scene.stored() == len(good)
    assert len(scene.kafka.read(scene.rejected, 1)) == 1
    scene.wait_until_committed(8)
    assert member.stop() == 0


def test_cloud_20_frozen_member_loses_its_partitions_and_rejoins(scene: Scene) -> None:
    """While a member is stopped beyond its session timeout, another stores its records; it rejoins without repeats."""
    events = mixed_traffic(400)
    scene.kafka.produce_events(scene.topic, events[:100])
    frozen = scene.start("--batch", "10")
    scene.wait_until_stored(100)
    other = scene.start("--batch", "10")
    assert wait_until(lambda: other.partitions() > 0, timeout_s=60, poll_s=0.05), other.log()
    frozen.process.send_signal(signal.SIGSTOP)
    scene.kafka.produce_events(scene.topic, events[100:300])
    scene.wait_until_stored(300)
    assert other.partitions() == PARTITIONS
    frozen.process.send_signal(signal.SIGCONT)
    scene.kafka.produce_events(scene.topic, events[300:])
    scene.assert_exactly_once(events)
    scene.wait_until_committed(400)
    assert (frozen.stop(), other.stop()) == (0, 0)
