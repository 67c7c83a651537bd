"""The consumer's loop on a source and an ingest that fail as told."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_functions.ingest.kafka.consumer import LONGEST_OUTAGE_PAUSE_S, MAX_SUSPECT_FAILURES, KafkaIngest
from cloud_functions.ingest.kafka.statistics import Statistics
from cloud_functions.ingest.progress import BatchResult
from cloud_functions.ingest.sources.kafka_records import KafkaRecord
from cloud_functions.ingest.sources.messages import Invocation, Rejection
from cloud_functions.observability import InMemoryMetrics

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

    def pause_fetching(self, held: bool) -> None:
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

    def process(self, invocation: Invocation) -> BatchResult:
        ids = [message.message_id for message in invocation.messages]
        self.batches.append(len(ids))
        if self.crashing & set(ids):
            raise ZeroDivisionError
        self.kept += invocation.rejections
        failed = {one for one in ids if self.failing(one)}
        rejected = {one for one in ids if one in self.rejecting}
        self.done += [one for one in ids if one not in failed]
        return BatchResult(failed - rejected, rejected | {one.message_id for one in invocation.rejections})


class ConsumerHarness:
    def __init__(self, *, batch: int = 10, every: int = 100, **counts: int) -> None:
        self.clock = FakeClock()
        self.source = FakeSource(self.clock, **(counts or {"plates": 10}))
        self.ingest = FakeIngest()
        self.consumer = self.another(batch=batch, every=every)

    def another(self, *, batch: int = 10, every: int = 100) -> KafkaIngest:
        statistics = Statistics(metrics=InMemoryMetrics(), every=every, monotonic=self.clock)
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
    harness = ConsumerHarness(plates=30)
    harness.ingest.failing = lambda one: one in ids(4)
    harness.steps(3)
    assert harness.source.committed == {PLATES: 4}
    assert set(harness.ingest.done) == ids(*range(30)) - ids(4)
    harness.ingest.failing = lambda one: False
    harness.steps(10)
    assert harness.source.committed == {PLATES: 30}
    assert sorted(harness.ingest.done) == sorted(ids(*range(30)))


def test_an_outage_commits_nothing_and_does_not_spin() -> None:
    """It is tried again after pauses that grow up to a limit, with so many in hand; then the consumer goes on."""
    harness = ConsumerHarness(plates=500)
    harness.ingest.failing = lambda one: True
    began_s = harness.clock.now_s
    steps = 0
    while harness.clock.now_s < began_s + 600:
        harness.consumer.step()
        steps += 1
    assert harness.source.commits == 0
    assert harness.source.held
    assert 100 <= harness.source.position[PLATES] <= 110
    assert 600 / LONGEST_OUTAGE_PAUSE_S <= len(harness.ingest.batches) <= 600 / LONGEST_OUTAGE_PAUSE_S + 10
    assert steps < 600 / 0.4
    harness.ingest.failing = lambda one: False
    harness.steps(100)
    assert harness.source.committed == {PLATES: 500}
    assert harness.ingest.kept == []


def test_a_lone_record_that_fails_holds_up_nobody() -> None:
    """On a quiet topic nothing shows whether it or the database is at fault; whoever comes next finds out."""
    harness = ConsumerHarness(plates=1)
    harness.ingest.crashing = ids(0)
    harness.steps(50)
    assert harness.ingest.done == []
    for number in range(2, 30):
        harness.source.ends[PLATES] = number
        came_s = harness.clock.now_s
        while len(harness.ingest.done) < number - 1:
            harness.consumer.step()
        assert harness.clock.now_s - came_s <= (LONGEST_OUTAGE_PAUSE_S if number == 2 else 0.6)
    assert harness.source.commits == 0


def test_as_many_culprits_as_a_batch_holds_hold_up_nobody() -> None:
    """They take turns with the others."""
    harness = ConsumerHarness(plates=25)
    harness.ingest.failing = lambda one: one in ids(*range(20))
    harness.steps(200)
    assert set(harness.ingest.done) == ids(20, 21, 22, 23, 24)
    assert harness.source.commits == 0


def test_rejecting_poison_is_no_sign_of_life() -> None:
    """Dead letters work without the database: while it is away, no record counts as suspect for that."""
    harness = ConsumerHarness(batch=2, plates=200)
    harness.ingest.failing = lambda one: True
    harness.ingest.rejecting = ids(*range(0, 200, 2))
    harness.steps(2000)
    assert harness.ingest.kept == []
    assert harness.source.committed == {PLATES: 1}


def test_a_record_that_makes_ingest_fall_over_harms_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    """It is found by halving, its neighbours are done; after many attempts it goes to the dead letters."""
    harness = ConsumerHarness(plates=1000, batch=100)
    harness.ingest.crashing = ids(123)
    harness.steps(12)
    assert set(harness.ingest.done) == ids(*range(1000)) - ids(123)
    assert harness.source.committed == {PLATES: 123}
    assert "ingesting plates-0@123 failed unexpectedly" in caplog.text
    for number in range(1000, 1000 + 10 * MAX_SUSPECT_FAILURES):
        harness.source.ends[PLATES] = number
        harness.clock.now_s += 5
        harness.consumer.step()
    [kept] = harness.ingest.kept
    assert (kept.message_id, kept.reason) == ("plates-0@123", "undeliverable")
    assert harness.source.committed == {PLATES: number}


def test_dead_letters_that_are_away_keep_the_record_here() -> None:
    """What could not be kept is not committed."""
    harness = ConsumerHarness(plates=1)
    harness.ingest.crashing = ids(0)
    refused: list[int] = []
    harness.ingest.process = refuse_rejections(harness.ingest.process, refused)  # type: ignore[method-assign]
    for number in range(1, 10 * MAX_SUSPECT_FAILURES):
        harness.source.ends[PLATES] = number
        harness.clock.now_s += 5
        harness.consumer.step()
    assert refused == [1] * len(refused)
    assert len(refused) > 5
    assert harness.source.commits == 0


def refuse_rejections(
    process: Callable[[Invocation], BatchResult], refused: list[int]
) -> Callable[[Invocation], BatchResult]:
    def refusing(invocation: Invocation) -> BatchResult:
        if invocation.rejections:
            gone = {one.message_id for one in invocation.rejections}
            refused.append(len(gone))
            return BatchResult(gone, gone)
        return process(invocation)

    return refusing


def test_partitions_are_handed_over_with_what_is_done() -> None:
    """A revoked partition is committed up to its first failed record, and nothing of it is tried again here."""
    harness = ConsumerHarness(plates=10, others=5)
    harness.source.refusing_commits = True
    harness.ingest.failing = lambda one: one in ids(6)
    harness.steps(2)
    assert harness.source.committed == {}
    harness.source.refusing_commits = False
    harness.source.while_polling = lambda: harness.consumer.revoked({PLATES})
    before = len(harness.ingest.batches)
    harness.ingest.failing = lambda one: False
    harness.steps(1)
    assert harness.source.committed == {PLATES: 6, ("others", 0): 5}
    harness.source.while_polling = lambda: None
    harness.steps(20)
    assert len(harness.ingest.batches) == before


def test_lost_partitions_are_not_committed() -> None:
    """Another member has them already, and may be further on."""
    harness = ConsumerHarness(plates=10)
    harness.source.refusing_commits = True
    harness.steps(1)
    harness.source.refusing_commits = False
    harness.source.while_polling = lambda: harness.consumer.lost({PLATES})
    harness.steps(5)
    assert harness.source.committed == {}


def test_a_partition_that_goes_while_its_record_is_with_ingest_is_not_taken_up_again() -> None:
    """Failed or not, it is the next member's."""
    harness = ConsumerHarness(plates=10)
    harness.ingest.failing = lambda one: harness.consumer.lost({PLATES}) is None
    harness.steps(5)
    assert harness.ingest.batches == [10]
    assert harness.source.commits == 0


def test_a_commit_that_fails_is_made_with_the_next_step() -> None:
    """A broker that is away for a while costs nothing."""
    harness = ConsumerHarness(plates=10)
    harness.source.refusing_commits = True
    harness.steps(3)
    harness.source.refusing_commits = False
    harness.steps(1)
    assert (harness.source.committed, harness.source.commits) == ({PLATES: 10}, 4)
    harness.steps(3)
    assert harness.source.commits == 4


def test_what_waits_is_bounded() -> None:
    """However many records fail one by one, only so many are held in memory."""
    harness = ConsumerHarness(plates=100_000)
    harness.ingest.failing = lambda one: int(one.rpartition("@")[2]) % 2 == 1
    harness.steps(200)
    assert harness.source.position[PLATES] <= 2 * 10 * 10 + 10
    harness.ingest.failing = lambda one: False
    while harness.source.committed != {PLATES: 100_000}:
        harness.consumer.step()


def test_the_end_commits_and_sums_up(caplog: pytest.LogCaptureFixture) -> None:
    """Told to stop, or stopped by an error: what is done is committed, and the summary is told."""
    caplog.set_level(logging.INFO)
    harness = ConsumerHarness(plates=250, every=100)
    left = iter([False] * 25)
    harness.consumer.run(lambda: next(left, True))
    assert harness.source.committed == {PLATES: 250}
    lines = [line.getMessage() for line in caplog.records]
    assert [line.partition(" ")[0] for line in lines] == ["100", "200", "250"]
    assert "0 to retry, 150 behind" in lines[0]
    harness.ingest.failing = lambda one: True
    harness.source.ends[PLATES] = 260
    consumer = harness.another()
    with pytest.raises(KeyboardInterrupt):
        consumer.run(interrupted_at(3))
    assert harness.source.committed == {PLATES: 250}
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
    harness = ConsumerHarness(plates=count, others=7)
    for failing_ratio, refusing_ratio, steps in lives:
        harness.source.position = {
            partition: harness.source.committed.get(partition, 0) for partition in harness.source.ends
        }
        consumer = harness.another(batch=batch)
        for _ in range(steps):
            unlucky = {one for one in ids(*range(count)) if rng.random() < failing_ratio}
            harness.ingest.failing = unlucky.__contains__
            harness.source.refusing_commits = rng.random() < refusing_ratio
            consumer.step()
            done = set(harness.ingest.done)
            committed = harness.source.committed.get(PLATES, 0)
            assert ids(*range(committed)) <= done
    harness.ingest.failing = lambda one: False
    harness.source.refusing_commits = False
    harness.source.position = {
        partition: harness.source.committed.get(partition, 0) for partition in harness.source.ends
    }
    consumer = harness.another(batch=batch)
    while any(harness.source.committed.get(partition, 0) != end for partition, end in harness.source.ends.items()):
        consumer.step()
    assert set(harness.ingest.done) == ids(*range(count)) | {f"others-0@{offset}" for offset in range(7)}


def test_python_a_fault_of_ingest_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The same record fails the same way many times, and so do others: one traceback says it."""
    harness = ConsumerHarness(plates=1000, batch=100)
    harness.ingest.crashing = ids(123, 321, 555)
    for number in range(1000, 1100):
        harness.source.ends[PLATES] = number
        harness.clock.now_s += 5
        harness.consumer.step()
    assert caplog.text.count("Traceback") == 1


def test_python_dead_letters_that_fail_unexpectedly_do_not_end_the_consumer(caplog: pytest.LogCaptureFixture) -> None:
    """The record waits on, and is kept once they work again."""
    harness = ConsumerHarness(plates=100, batch=100)
    harness.ingest.crashing = ids(7)
    process, refusing = harness.ingest.process, [True]

    def refuse_dead_letters(invocation: Invocation) -> BatchResult:
        if invocation.rejections and refusing[0]:
            raise ZeroDivisionError
        return process(invocation)

    harness.ingest.process = refuse_dead_letters

    def steps(first: int, last: int) -> None:
        for number in range(first, last):
            harness.source.ends[PLATES] = number
            harness.clock.now_s += 5
            harness.consumer.step()

    steps(100, 100 + 10 * MAX_SUSPECT_FAILURES)
    assert "writing dead letters failed unexpectedly" in caplog.text
    assert harness.ingest.kept == []
    refusing[0] = False
    steps(100 + 10 * MAX_SUSPECT_FAILURES, 100 + 12 * MAX_SUSPECT_FAILURES)
    assert [kept.message_id for kept in harness.ingest.kept] == ["plates-0@7"]
