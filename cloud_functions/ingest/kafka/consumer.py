"""The consumer loop: passes batches of records to ingest, and commits offsets after the database has committed.

The source of records is a collaborator, so this module needs no broker. Everything runs in one thread: the broker's
assignments and revocations of partitions are handled while polling, between two batches.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from cloud_functions.ingest.kafka.backlog import FIRST_PAUSE_S, LONGEST_PAUSE_S, Backlog, Partition
from cloud_functions.ingest.kafka.statistics import Statistics
from cloud_functions.ingest.progress import BatchResult
from cloud_functions.ingest.sources.kafka_records import KafkaRecord
from cloud_functions.ingest.sources.messages import Invocation, Rejection, read_records
from shared.retry import FaultLog

log = logging.getLogger(__name__)

LONGEST_OUTAGE_PAUSE_S: Final = 5.0
MAX_SUSPECT_FAILURES: Final = 20
"""Failures, while other records succeed, after which a record is dead-lettered. They take some minutes."""
_IDLE_S: Final = 0.5
_MAX_BATCHES_HELD: Final = 10


class RecordSource(Protocol):
    """A source of records that also stores committed offsets."""

    def poll(self, *, most: int, wait_s: float, linger_s: float) -> list[KafkaRecord]:
        """Return up to ``most`` records: wait up to ``wait_s`` for the first, then ``linger_s`` for others.

        Partitions may be assigned or revoked during the call; records of revoked ones are not returned.
        """
        ...

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        """Commit the next offset of each partition; return whether it succeeded."""
        ...

    def pause_fetching(self, paused: bool) -> None:
        """Pause or resume fetching records."""
        ...

    def lag(self) -> int | None:
        """Return the number of records up to the ends of the partitions, or None if unknown."""
        ...


class MessageProcessor(Protocol):
    """Processes messages; ``Ingest`` implements it."""

    def process(self, invocation: Invocation) -> BatchResult: ...


class KafkaIngest:
    """Consumes records until stopped.

    If every record fails, the database or SNS is unavailable. The consumer pauses, holds a limited number of batches,
    and tries again. If some records succeed, only the failed ones are retried. Their partitions continue, but are not
    committed beyond them.
    """

    def __init__(
        self,
        *,
        source: RecordSource,
        ingest: MessageProcessor,
        statistics: Statistics,
        batch: int,
        linger_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._ingest = ingest
        self._statistics = statistics
        self._batch = batch
        self._linger_s = linger_s
        self._monotonic = monotonic
        self._backlog = Backlog()
        self._pause_s = 0.0
        self._outage_until_s = 0.0
        self._faults = FaultLog(log, monotonic=monotonic)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Consume until ``stopped`` returns True, then commit the finished records.

        An exception of the source ends the process, because a later commit could skip records that it had begun to
        return. After a restart, consumption continues from the committed offsets.
        """
        try:
            while not stopped():
                self.step()
        finally:
            self._commit()
            log.info("%s", self._statistics.summary(waiting=len(self._backlog)))

    def revoked(self, partitions: Collection[Partition]) -> None:
        """Commit the finished records of revoked partitions, and drop their other records."""
        self._commit(partitions)
        self._backlog.drop_partitions(partitions)

    def lost(self, partitions: Collection[Partition]) -> None:
        """Drop partitions that another member has already taken over."""
        self._backlog.drop_partitions(partitions)

    def step(self) -> None:
        """Poll once, and process the new records and the retries that are due."""
        backlog = self._backlog
        self._source.pause_fetching(len(backlog) >= _MAX_BATCHES_HELD * self._batch)
        now_s = self._monotonic()
        until_due_s = max(self._outage_until_s - now_s, backlog.seconds_until_due(now_s))
        fresh = self._source.poll(most=self._batch, wait_s=min(_IDLE_S, until_due_s), linger_s=self._linger_s)
        backlog.take(fresh)
        now_s = self._monotonic()
        if now_s < self._outage_until_s:
            backlog.defer(fresh, due_s=self._outage_until_s)
        else:
            due = backlog.due(now_s, most=self._batch)
            if fresh or due:
                self._process_batches([records for records in (due, fresh) if records])
        self._commit()

    def _process_batches(self, batches: Sequence[list[KafkaRecord]]) -> None:
        results = [self._process(records) for records in batches]
        records = [record for batch in batches for record in batch]
        failed_ids = {record_id for result in results for record_id in result.failed}
        if not failed_ids:
            self._outage_over()
            self._mark_done(records)
            return
        rejected_ids = {record_id for result in results for record_id in result.rejected}
        failed = [record for record in records if record.record_id in failed_ids]
        if any(record.record_id not in failed_ids | rejected_ids for record in records):
            self._outage_over()
            self._retry_later(failed, LONGEST_PAUSE_S, suspect=True)
        else:
            if not all(map(self._backlog.is_suspect, failed)):
                self._outage()
            self._retry_later(failed, LONGEST_OUTAGE_PAUSE_S, suspect=False)
        self._mark_done([record for record in records if record.record_id not in failed_ids])
        log.warning("retrying %d of %d messages", len(failed), len(records))
        self._dead_letter_undeliverable()

    def _retry_later(self, records: list[KafkaRecord], longest_s: float, *, suspect: bool) -> None:
        self._backlog.retry_later(records, now_s=self._monotonic(), longest_s=longest_s, suspect=suspect)

    def _outage(self) -> None:
        self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_OUTAGE_PAUSE_S)
        self._outage_until_s = self._monotonic() + self._pause_s

    def _outage_over(self) -> None:
        self._pause_s = self._outage_until_s = 0.0

    def _process(self, records: list[KafkaRecord]) -> BatchResult:
        """Process records; if one of them raises an exception, find it by halving the batch."""
        try:
            return self._ingest.process(read_records(records))
        except Exception as error:
            if len(records) == 1:
                self._faults.log(error, f"ingesting {records[0].record_id} failed")
                return BatchResult({records[0].record_id}, set())
        middle = len(records) // 2
        first, second = self._process(records[:middle]), self._process(records[middle:])
        return BatchResult(first.failed | second.failed, first.rejected | second.rejected)

    def _dead_letter_undeliverable(self) -> None:
        undeliverable = self._backlog.suspects(MAX_SUSPECT_FAILURES)
        if not undeliverable:
            return
        detail = f"failed {MAX_SUSPECT_FAILURES} times while other messages succeeded"
        rejections = [Rejection(record.record_id, record.text(), "undeliverable", detail) for record in undeliverable]
        try:
            result = self._ingest.process(Invocation([], rejections, partial=True))
        except Exception as error:  # they stay in the backlog until the next failed batch
            self._faults.log(error, "writing dead letters failed")
            return
        self._mark_done([record for record in undeliverable if record.record_id not in result.failed])

    def _mark_done(self, records: list[KafkaRecord]) -> None:
        self._backlog.done(records)
        if self._statistics.add_messages(len(records)):
            log.info("%s", self._statistics.line(waiting=len(self._backlog), lag=self._source.lag()))

    def _commit(self, only: Collection[Partition] | None = None) -> None:
        positions = self._backlog.to_commit(only)
        if positions and self._source.commit(positions):
            self._backlog.committed(positions)
