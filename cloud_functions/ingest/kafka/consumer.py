"""The loop between a Kafka broker and ingest: what is done is committed, after the database has committed it.

No broker and no process in here: the records' source comes in as a collaborator. One thread; what the broker has to say
(partitions given and taken away) is heard while records are polled for, between two batches.
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
"""A record that fails so many times (some minutes) while others go through is given up: it goes to the dead letters."""
_IDLE_S: Final = 0.5
_BATCHES_HELD: Final = 10


class RecordSource(Protocol):
    """Where records come from and where it is noted how far they are done."""

    def poll(self, *, most: int, wait_s: float, linger_s: float) -> list[KafkaRecord]:
        """Return records as they come: wait for the first, then a little for others.

        Partitions may be given or taken away meanwhile; records of those taken away are not returned.
        """
        ...

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        """Note at the broker where each partition goes on; return whether that worked."""
        ...

    def pause_fetching(self, held: bool) -> None:
        """Stop or go on fetching records."""
        ...

    def lag(self) -> int | None:
        """Return how many records lie between here and the partitions' ends, as far as known."""
        ...


class MessageProcessor(Protocol):
    """Deals with messages: ``Ingest``."""

    def process(self, invocation: Invocation) -> BatchResult: ...


class KafkaIngest:
    """Feeds ingest from a source until told to stop.

    When everything fails, the outside (database, hub) is away: it is tried again after a pause, until then at most some
    batches are taken in. When something goes through, what failed waits alone, and its partition goes on, without being
    committed beyond it.
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
        """Feed until ``stopped``; then commit what is done.

        An exception of the source is passed on and ends the process: records that it had begun to hand over would be
        committed unseen. Whatever starts the process again goes on from what is committed.
        """
        try:
            while not stopped():
                self.step()
        finally:
            self._commit()
            log.info("%s", self._statistics.summary(waiting=len(self._backlog)))

    def revoked(self, partitions: Collection[Partition]) -> None:
        """Another member goes on with these partitions: commit what is done, and forget them."""
        self._commit(partitions)
        self._backlog.drop_partitions(partitions)

    def lost(self, partitions: Collection[Partition]) -> None:
        """These partitions are another member's already: forget them."""
        self._backlog.drop_partitions(partitions)

    def step(self) -> None:
        """Wait a little for something to do, and do it."""
        backlog = self._backlog
        self._source.pause_fetching(len(backlog) >= _BATCHES_HELD * self._batch)
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
        log.warning("%d of %d messages are to be tried again", len(failed), len(records))
        self._dead_letter_undeliverable()

    def _retry_later(self, records: list[KafkaRecord], longest_s: float, *, suspect: bool) -> None:
        self._backlog.retry_later(records, now_s=self._monotonic(), longest_s=longest_s, suspect=suspect)

    def _outage(self) -> None:
        self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_OUTAGE_PAUSE_S)
        self._outage_until_s = self._monotonic() + self._pause_s

    def _outage_over(self) -> None:
        self._pause_s = self._outage_until_s = 0.0

    def _process(self, records: list[KafkaRecord]) -> BatchResult:
        """Hand records to ingest; should one of them make it fall over, find out which."""
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
        hopeless = self._backlog.suspects(MAX_SUSPECT_FAILURES)
        if not hopeless:
            return
        detail = f"failed {MAX_SUSPECT_FAILURES} times while others went through"
        rejections = [Rejection(record.record_id, record.text(), "undeliverable", detail) for record in hopeless]
        try:
            kept = self._ingest.process(Invocation([], rejections, partial=True))
        except Exception as error:  # they stay in the backlog, and are given up with the next batch that fails
            self._faults.log(error, "writing dead letters failed")
            return
        self._mark_done([record for record in hopeless if record.record_id not in kept.failed])

    def _mark_done(self, records: list[KafkaRecord]) -> None:
        self._backlog.done(records)
        if self._statistics.add_messages(len(records)):
            log.info("%s", self._statistics.line(waiting=len(self._backlog), lag=self._source.lag()))

    def _commit(self, only: Collection[Partition] | None = None) -> None:
        positions = self._backlog.to_commit(only)
        if positions and self._source.commit(positions):
            self._backlog.committed(positions)
