"""The records that are being processed, when failed ones are retried, and the offsets that may be committed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_functions.ingest.sources.kafka_records import KafkaRecord

Partition = tuple[str, int]
"""Topic and number."""

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 30.0


@dataclass(slots=True)
class _Retry:
    record: KafkaRecord
    attempts: int
    due_s: float
    suspect_failures: int


class Backlog:
    """The records that were consumed and are not done.

    A partition may be committed up to its first record that is not done. Later records that are done are consumed again
    after a crash, which changes nothing.
    """

    def __init__(self) -> None:
        self._open: dict[Partition, dict[int, None]] = {}
        self._next: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._retries: dict[tuple[str, int, int], _Retry] = {}

    def __len__(self) -> int:
        """Return the number of failed and deferred records."""
        return len(self._retries)

    def take(self, records: Iterable[KafkaRecord]) -> None:
        """Add records in the order of the broker."""
        for topic, partition, offset, *_ in records:
            key = topic, partition
            self._open.setdefault(key, {})[offset] = None
            self._committed.setdefault(key, offset)  # where this member started
            self._next[key] = offset + 1  # lower than before if the topic was recreated

    def done(self, records: Iterable[KafkaRecord]) -> None:
        """Remove records that are done."""
        for topic, partition, offset, *_ in records:
            self._open.get((topic, partition), {}).pop(offset, None)
            if self._retries:
                self._retries.pop((topic, partition, offset), None)

    def retry_later(self, records: Iterable[KafkaRecord], *, now_s: float, longest_s: float, suspect: bool) -> None:
        """Retry records after a pause that doubles with each attempt, up to ``longest_s``.

        ``suspect``: other records succeeded, so the record itself may be the cause.
        """
        for record in records:
            key = record[:3]
            if key[2] not in self._open.get(key[:2], {}):
                continue  # the partition was revoked
            before = self._retries.pop(key, None)  # reinserted at the end, so that other records are retried first
            attempts = before.attempts + 1 if before else 1
            pause_s = min(FIRST_PAUSE_S * 2 ** min(attempts - 1, 16), longest_s)
            suspect_failures = (before.suspect_failures if before else 0) + suspect
            self._retries[key] = _Retry(record, attempts, now_s + pause_s, suspect_failures)

    def defer(self, records: Iterable[KafkaRecord], *, due_s: float) -> None:
        """Defer records that were not tried yet."""
        for record in records:
            self._retries[record[:3]] = _Retry(record, 0, due_s, 0)

    def due(self, now_s: float, *, most: int) -> list[KafkaRecord]:
        """Return at most ``most`` records whose pause is over, the least recently tried first."""
        due: list[KafkaRecord] = []
        for retry in self._retries.values():
            if retry.due_s <= now_s:
                due.append(retry.record)
                if len(due) == most:
                    break
        return due

    def seconds_until_due(self, now_s: float) -> float:
        """Return the time until the next record is due; infinity if there is none."""
        earliest = min((retry.due_s for retry in self._retries.values()), default=float("inf"))
        return max(earliest - now_s, 0.0)

    def is_suspect(self, record: KafkaRecord) -> bool:
        """Return whether a record failed while other records succeeded."""
        retry = self._retries.get(record[:3])
        return retry is not None and retry.suspect_failures > 0

    def suspects(self, times: int) -> list[KafkaRecord]:
        """Return the records that failed at least ``times`` times while other records succeeded."""
        return [retry.record for retry in self._retries.values() if retry.suspect_failures >= times]

    def to_commit(self, only: Collection[Partition] | None = None) -> dict[Partition, int]:
        """Return the offsets that may be committed and differ from the committed ones."""
        positions: dict[Partition, int] = {}
        for partition, after in self._next.items():
            if only is None or partition in only:
                position = min(self._open[partition], default=after)
                if self._committed.get(partition) != position:
                    positions[partition] = position
        return positions

    def committed(self, positions: Mapping[Partition, int]) -> None:
        """Record the committed offsets."""
        self._committed.update(positions)

    def drop_partitions(self, partitions: Iterable[Partition]) -> None:
        """Remove all records of partitions that another member took over."""
        for partition in partitions:
            self._next.pop(partition, None)
            self._committed.pop(partition, None)
            for offset in self._open.pop(partition, {}):
                self._retries.pop((*partition, offset), None)
