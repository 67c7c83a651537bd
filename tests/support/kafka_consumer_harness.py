"""A Kafka consumer with an in-memory source of records and an ingest that fails on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cloud_functions.ingest.kafka.consumer import KafkaIngest
from cloud_functions.ingest.kafka.statistics import Statistics
from cloud_functions.ingest.progress import BatchResult
from cloud_functions.ingest.sources.kafka_records import KafkaRecord
from cloud_functions.ingest.sources.messages import Invocation, Rejection
from cloud_functions.observability import InMemoryMetrics

Partition = tuple[str, int]
PLATES: Partition = ("plates", 0)


class FakeClock:
    """Returns ``now_s``, which the source advances."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class FakeSource:
    """Partitions in memory. A poll without records advances the clock by the time that it would have waited."""

    def __init__(self, clock: FakeClock, **counts: int) -> None:
        self._clock = clock
        self.ends = {(topic, 0): count for topic, count in counts.items()}
        self.position = dict.fromkeys(self.ends, 0)
        self.committed: dict[Partition, int] = {}
        self.paused = False
        self.commits = 0
        self.failing_commits = False
        self.while_polling: Callable[[], None] = lambda: None

    def poll(self, *, most: int, wait_s: float, linger_s: float) -> list[KafkaRecord]:
        self.while_polling()
        records: list[KafkaRecord] = []
        for (topic, number), end in {} if self.paused else self.ends.items():
            while self.position[topic, number] < end and len(records) < most:
                offset = self.position[topic, number]
                records.append(KafkaRecord(topic, number, offset, 0, None, b"%d" % offset, ()))
                self.position[topic, number] = offset + 1
        self._clock.now_s += linger_s if records else wait_s
        return records

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        self.commits += 1
        if not self.failing_commits:
            self.committed.update(positions)
        return not self.failing_commits

    def pause_fetching(self, paused: bool) -> None:
        self.paused = paused

    def lag(self) -> int | None:
        return sum(end - self.position[partition] for partition, end in self.ends.items())


class FakeIngest:
    """Fails, rejects or crashes on the chosen records, and records the others as done."""

    def __init__(self) -> None:
        self.failing: Callable[[str], bool] = lambda _: False
        self.rejecting: set[str] = set()
        self.crashing: set[str] = set()
        self.done: list[str] = []
        self.batches: list[int] = []
        self.dead_letters: list[Rejection] = []

    def process(self, invocation: Invocation) -> BatchResult:
        ids = [message.message_id for message in invocation.messages]
        self.batches.append(len(ids))
        if self.crashing & set(ids):
            raise ZeroDivisionError
        self.dead_letters += invocation.rejections
        failed = {message_id for message_id in ids if self.failing(message_id)}
        rejected = self.rejecting & set(ids)
        self.done += [message_id for message_id in ids if message_id not in failed]
        dead_lettered = {rejection.message_id for rejection in invocation.rejections}
        return BatchResult(failed - rejected, rejected | dead_lettered)


class ConsumerHarness:
    """A consumer, its source and its ingest. ``counts``: the number of records by topic."""

    def __init__(self, *, batch: int = 10, every: int = 100, **counts: int) -> None:
        self.clock = FakeClock()
        self.source = FakeSource(self.clock, **(counts or {"plates": 10}))
        self.ingest = FakeIngest()
        self.consumer = self.new_consumer(batch=batch, every=every)

    def new_consumer(self, *, batch: int = 10, every: int = 100) -> KafkaIngest:
        """Return another consumer of the same source and ingest."""
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
    """Return the message ids of these offsets of ``PLATES``."""
    return {f"plates-0@{offset}" for offset in offsets}
