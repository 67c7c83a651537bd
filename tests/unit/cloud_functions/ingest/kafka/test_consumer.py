"""The consumer's loop on a source and an ingest that fail as told."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_functions.ingest.ingest import Dealt
from cloud_functions.ingest.kafka.consumer import LONGEST_OUTAGE_PAUSE_S, MOST_BLAMED, KafkaIngest
from cloud_functions.ingest.kafka.statistics import Statistics
from cloud_functions.ingest.sources.kafka_records import KafkaRecord
from cloud_functions.ingest.sources.messages import Invocation, Rejection
from cloud_functions.observability import CountedMetrics

Partition = tuple[str, int]
PLATES: Partition = ("plates", 0)


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class FakeSource:
    """Partitions in memory. Whoever waits for a record that does not come spends the time."""

    def __init__(self, clock: FakeClock, **counts: int) -> None:
        self._clock = clock
        self.ends = {(topic, 0): count for topic, count in counts.items()}
        self.position = dict.fromkeys(self.ends, 0)
        self.committed: dict[Partition, int] = {}
        self.held = False
        self.commits = 0
        self.refusing_commits = False
        self.while_polling: Callable[[], None] = lambda: None

    def poll(self, *, most: int, wait_s: float, linger_s: float) -> list[KafkaRecord]:
        self.while_polling()
        records: list[KafkaRecord] = []
        for (topic, number), end in {} if self.held else self.ends.items():
            while self.position[topic, number] < end and len(records) < most:
                offset = self.position[topic, number]
                records.append(KafkaRecord(topic, number, offset, 0, None, b"%d" % offset, ()))
                self.position[topic, number] = offset + 1
        self._clock.now_s += linger_s if records else wait_s
        return records

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        self.commits += 1
        if not self.refusing_commits:
            self.committed.update(positions)
        return not self.refusing_commits

    def hold_back(self, held: bool) -> None:
        self.held = held

    def lag(self) -> int | None:
        return sum(end - self.position[partition] for partition, end in self.ends.items())


class FakeIngest:
    """Fails, rejects or falls over the records it is told to; remembers what it has dealt with."""

    def __init__(self) -> None:
        self.failing: Callable[[str], bool] = lambda _: False
        self.rejecting: set[str] = set()
        self.crashing: set[str] = set()
        self.done: list[str] = []
        self.batches: list[int] = []
        self.kept: list[Rejection] = []

    def take(self, invocation: Invocation) -> Dealt:
        ids = [message.message_id for message in invocation.messages]
        self.batches.append(len(ids))
        if self.crashing & set(ids):
            raise ZeroDivisionError
        self.kept += invocation.rejections
        failed = {one for one in ids if self.failing(one)}
        rejected = {one for one in ids if one in self.rejecting}
        self.done += [one for one in ids if one not in failed]
        return Dealt(failed - rejected, rejected | {one.message_id for one in invocation.rejections})


class Rig:
    def __init__(self, *, batch: int = 10, every: int = 100, **counts: int) -> None:
        self.clock = FakeClock()
        self.source = FakeSource(self.clock, **(counts or {"plates": 10}))
        self.ingest = FakeIngest()
        self.consumer = self.another(batch=batch, every=every)

    def another(self, *, batch: int = 10, every: int = 100) -> KafkaIngest:
        statistics = Statistics(metrics=CountedMetrics(), every=every, monotonic=self.clock)
        return KafkaIngest(
            source=self.source,
            ingest=self.ingest,
            statistics=statistics,
            batch=batch,
            linger_s=0.01,
            monotonic=self.clock,
        )

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.consumer.step()


def ids(*offsets: int) -> set[str]:
    return {f"plates-0@{offset}" for offset in offsets}


def test_what_is_done_is_committed_and_what_is_not_is_not() -> None:
    """The partition stands at the first failed record, goes on being worked on, and is committed once that is done."""
    rig = Rig(plates=30)
    rig.ingest.failing = lambda one: one in ids(4)
    rig.steps(3)
    assert rig.source.committed == {PLATES: 4}
    assert set(rig.ingest.done) == ids(*range(30)) - ids(4)
    rig.ingest.failing = lambda one: False
    rig.steps(10)
    assert rig.source.committed == {PLATES: 30}
    assert sorted(rig.ingest.done) == sorted(ids(*range(30)))


def test_an_outage_commits_nothing_and_does_not_spin() -> None:
    """It is tried again after pauses that grow up to a limit, with so many in hand; then the consumer goes on."""
    rig = Rig(plates=500)
    rig.ingest.failing = lambda one: True
    began_s = rig.clock.now_s
    steps = 0
    while rig.clock.now_s < began_s + 600:
        rig.consumer.step()
        steps += 1
    assert rig.source.commits == 0
    assert rig.source.held
    assert 100 <= rig.source.position[PLATES] <= 110
    assert 600 / LONGEST_OUTAGE_PAUSE_S <= len(rig.ingest.batches) <= 600 / LONGEST_OUTAGE_PAUSE_S + 10
    assert steps < 600 / 0.4
    rig.ingest.failing = lambda one: False
    rig.steps(100)
    assert rig.source.committed == {PLATES: 500}
    assert rig.ingest.kept == []


def test_a_lone_record_that_fails_holds_up_nobody() -> None:
    """On a quiet topic nothing shows whether it or the database is at fault; whoever comes next finds out."""
    rig = Rig(plates=1)
    rig.ingest.crashing = ids(0)
    rig.steps(50)
    assert rig.ingest.done == []
    for number in range(2, 30):
        rig.source.ends[PLATES] = number
        came_s = rig.clock.now_s
        while len(rig.ingest.done) < number - 1:
            rig.consumer.step()
        assert rig.clock.now_s - came_s <= (LONGEST_OUTAGE_PAUSE_S if number == 2 else 0.6)
    assert rig.source.commits == 0


def test_as_many_culprits_as_a_batch_holds_hold_up_nobody() -> None:
    """They take turns with the others."""
    rig = Rig(plates=25)
    rig.ingest.failing = lambda one: one in ids(*range(20))
    rig.steps(200)
    assert set(rig.ingest.done) == ids(20, 21, 22, 23, 24)
    assert rig.source.commits == 0


def test_rejecting_poison_is_no_sign_of_life() -> None:
    """Dead letters work without the database: while it is away, nobody is blamed for that."""
    rig = Rig(batch=2, plates=200)
    rig.ingest.failing = lambda one: True
    rig.ingest.rejecting = ids(*range(0, 200, 2))
    rig.steps(2000)
    assert rig.ingest.kept == []
    assert rig.source.committed == {PLATES: 1}


def test_a_record_that_makes_ingest_fall_over_harms_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    """It is found by halving, its neighbours are done; after many attempts it goes to the dead letters."""
    rig = Rig(plates=1000, batch=100)
    rig.ingest.crashing = ids(123)
    rig.steps(12)
    assert set(rig.ingest.done) == ids(*range(1000)) - ids(123)
    assert rig.source.committed == {PLATES: 123}
    assert "ingesting plates-0@123 failed unexpectedly" in caplog.text
    for number in range(1000, 1000 + 10 * MOST_BLAMED):
        rig.source.ends[PLATES] = number
        rig.clock.now_s += 5
        rig.consumer.step()
    [kept] = rig.ingest.kept
    assert (kept.message_id, kept.reason) == ("plates-0@123", "undeliverable")
    assert rig.source.committed == {PLATES: number}


def test_dead_letters_that_are_away_keep_the_record_here() -> None:
    """What could not be kept is not committed."""
    rig = Rig(plates=1)
    rig.ingest.crashing = ids(0)
    refused: list[int] = []
    rig.ingest.take = refuse_rejections(rig.ingest.take, refused)  # type: ignore[method-assign]
    for number in range(1, 10 * MOST_BLAMED):
        rig.source.ends[PLATES] = number
        rig.clock.now_s += 5
        rig.consumer.step()
    assert refused == [1] * len(refused)
    assert len(refused) > 5
    assert rig.source.commits == 0


def refuse_rejections(take: Callable[[Invocation], Dealt], refused: list[int]) -> Callable[[Invocation], Dealt]:
    def refusing(invocation: Invocation) -> Dealt:
        if invocation.rejections:
            gone = {one.message_id for one in invocation.rejections}
            refused.append(len(gone))
            return Dealt(gone, gone)
        return take(invocation)

    return refusing


def test_partitions_are_handed_over_with_what_is_done() -> None:
    """A revoked partition is committed up to its first failed record, and nothing of it is tried again here."""
    rig = Rig(plates=10, others=5)
    rig.source.refusing_commits = True
    rig.ingest.failing = lambda one: one in ids(6)
    rig.steps(2)
    assert rig.source.committed == {}
    rig.source.refusing_commits = False
    rig.source.while_polling = lambda: rig.consumer.revoked({PLATES})
    before = len(rig.ingest.batches)
    rig.ingest.failing = lambda one: False
    rig.steps(1)
    assert rig.source.committed == {PLATES: 6, ("others", 0): 5}
    rig.source.while_polling = lambda: None
    rig.steps(20)
    assert len(rig.ingest.batches) == before


def test_lost_partitions_are_not_committed() -> None:
    """Another member has them already, and may be further on."""
    rig = Rig(plates=10)
    rig.source.refusing_commits = True
    rig.steps(1)
    rig.source.refusing_commits = False
    rig.source.while_polling = lambda: rig.consumer.lost({PLATES})
    rig.steps(5)
    assert rig.source.committed == {}


def test_a_partition_that_goes_while_its_record_is_with_ingest_is_not_taken_up_again() -> None:
    """Failed or not, it is the next member's."""
    rig = Rig(plates=10)
    rig.ingest.failing = lambda one: rig.consumer.lost({PLATES}) is None
    rig.steps(5)
    assert rig.ingest.batches == [10]
    assert rig.source.commits == 0


def test_a_commit_that_fails_is_made_with_the_next_step() -> None:
    """A broker that is away for a while costs nothing."""
    rig = Rig(plates=10)
    rig.source.refusing_commits = True
    rig.steps(3)
    rig.source.refusing_commits = False
    rig.steps(1)
    assert (rig.source.committed, rig.source.commits) == ({PLATES: 10}, 4)
    rig.steps(3)
    assert rig.source.commits == 4


def test_what_waits_is_bounded() -> None:
    """However many records fail one by one, only so many are held in memory."""
    rig = Rig(plates=100_000)
    rig.ingest.failing = lambda one: int(one.rpartition("@")[2]) % 2 == 1
    rig.steps(200)
    assert rig.source.position[PLATES] <= 2 * 10 * 10 + 10
    rig.ingest.failing = lambda one: False
    while rig.source.committed != {PLATES: 100_000}:
        rig.consumer.step()


def test_the_end_commits_and_sums_up(caplog: pytest.LogCaptureFixture) -> None:
    """Told to stop, or stopped by an error: what is done is committed, and the summary is told."""
    caplog.set_level(logging.INFO)
    rig = Rig(plates=250, every=100)
    left = iter([False] * 25)
    rig.consumer.run(lambda: next(left, True))
    assert rig.source.committed == {PLATES: 250}
    lines = [line.getMessage() for line in caplog.records]
    assert [line.partition(" ")[0] for line in lines] == ["100", "200", "250"]
    assert "0 to be tried again, 150 behind" in lines[0]
    rig.ingest.failing = lambda one: True
    rig.source.ends[PLATES] = 260
    consumer = rig.another()
    with pytest.raises(KeyboardInterrupt):
        consumer.run(interrupted_at(3))
    assert rig.source.committed == {PLATES: 250}
    assert "10 left to the next" in caplog.text


def interrupted_at(count: int) -> Callable[[], bool]:
    calls = iter(range(count))

    def stopped() -> bool:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return False

    return stopped


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(1, 30)), min_size=1, max_size=6),
    st.integers(0, 60),
    st.integers(1, 20),
    st.integers(0, 2**32),
)
def test_members_that_die_lose_nothing(
    lives: list[tuple[float, float, int]], count: int, batch: int, seed: int
) -> None:
    """Whatever fails, whichever commit fails, and whenever a member dies: the next begins at what was committed, and in
    the end every record was done."""
    rng = random.Random(seed)
    rig = Rig(plates=count, others=7)
    for failing_ratio, refusing_ratio, steps in lives:
        rig.source.position = {partition: rig.source.committed.get(partition, 0) for partition in rig.source.ends}
        consumer = rig.another(batch=batch)
        for _ in range(steps):
            unlucky = {one for one in ids(*range(count)) if rng.random() < failing_ratio}
            rig.ingest.failing = unlucky.__contains__
            rig.source.refusing_commits = rng.random() < refusing_ratio
            consumer.step()
            done = set(rig.ingest.done)
            committed = rig.source.committed.get(PLATES, 0)
            assert ids(*range(committed)) <= done
    rig.ingest.failing = lambda one: False
    rig.source.refusing_commits = False
    rig.source.position = {partition: rig.source.committed.get(partition, 0) for partition in rig.source.ends}
    consumer = rig.another(batch=batch)
    while any(rig.source.committed.get(partition, 0) != end for partition, end in rig.source.ends.items()):
        consumer.step()
    assert set(rig.ingest.done) == ids(*range(count)) | {f"others-0@{offset}" for offset in range(7)}


def test_python_a_fault_of_ingest_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The same record fails the same way many times, and so do others: one traceback says it."""
    rig = Rig(plates=1000, batch=100)
    rig.ingest.crashing = ids(123, 321, 555)
    for number in range(1000, 1100):
        rig.source.ends[PLATES] = number
        rig.clock.now_s += 5
        rig.consumer.step()
    assert caplog.text.count("Traceback") == 1


def test_python_dead_letters_that_fail_unexpectedly_do_not_end_the_consumer(caplog: pytest.LogCaptureFixture) -> None:
    """The record waits on, and is kept once they work again."""
    rig = Rig(plates=100, batch=100)
    rig.ingest.crashing = ids(7)
    take, refusing = rig.ingest.take, [True]

    def refuse_dead_letters(invocation: Invocation) -> Dealt:
        if invocation.rejections and refusing[0]:
            raise ZeroDivisionError
        return take(invocation)

    rig.ingest.take = refuse_dead_letters

    def steps(first: int, last: int) -> None:
        for number in range(first, last):
            rig.source.ends[PLATES] = number
            rig.clock.now_s += 5
            rig.consumer.step()

    steps(100, 100 + 10 * MOST_BLAMED)
    assert "writing dead letters failed unexpectedly" in caplog.text
    assert rig.ingest.kept == []
    refusing[0] = False
    steps(100 + 10 * MOST_BLAMED, 100 + 12 * MOST_BLAMED)
    assert [kept.message_id for kept in rig.ingest.kept] == ["plates-0@7"]
