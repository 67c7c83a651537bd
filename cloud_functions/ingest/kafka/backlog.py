"""Which records are in hand, when a failed one is tried again, and how far each partition may be committed."""

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
    """Everything that was taken from the broker and is not done.

    A partition may be committed up to the first record that is not done; what is done beyond it comes again after a
    crash, and changes nothing then.
    """

    def __init__(self) -> None:
        self._open: dict[Partition, dict[int, None]] = {}
        self._next: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._retries: dict[tuple[str, int, int], _Retry] = {}

    def __len__(self) -> int:
        """Return how many records wait: failed ones, and those that were put off."""
        return len(self._retries)

    def take(self, records: Iterable[KafkaRecord]) -> None:
        """Note records that came from the broker, in its order."""
        for topic, partition, offset, *_ in records:
            key = topic, partition
            self._open.setdefault(key, {})[offset] = None
            self._committed.setdefault(key, offset)  # where the broker let this member begin
            self._next[key] = offset + 1  # lower than before where the topic was made anew

    def done(self, records: Iterable[KafkaRecord]) -> None:
        """Forget records that need nothing more."""
        for topic, partition, offset, *_ in records:
            self._open.get((topic, partition), {}).pop(offset, None)
            if self._retries:
                self._retries.pop((topic, partition, offset), None)

    def retry_later(self, records: Iterable[KafkaRecord], *, now_s: float, longest_s: float, suspect: bool) -> None:
        """Let records come again, after a pause that doubles each time up to ``longest_s``.

        ``suspect``: others went through, so the record itself may be at fault.
        """
        for record in records:
            key = record[:3]
            if key[2] not in self._open.get(key[:2], {}):
                continue  # no longer this member's
            before = self._retries.pop(key, None)  # and to the end of the queue: others have their turn first
            attempts = before.attempts + 1 if before else 1
            pause_s = min(FIRST_PAUSE_S * 2 ** min(attempts - 1, 16), longest_s)
            suspect_failures = (before.suspect_failures if before else 0) + suspect
            self._retries[key] = _Retry(record, attempts, now_s + pause_s, suspect_failures)

    def defer(self, records: Iterable[KafkaRecord], *, due_s: float) -> None:
        """Let records that were not tried yet wait."""
        for record in records:
            self._retries[record[:3]] = _Retry(record, 0, due_s, 0)

    def due(self, now_s: float, *, most: int) -> list[KafkaRecord]:
        """Return waiting records whose pause is over, those first that were not tried for longest."""
        found: list[KafkaRecord] = []
        for retry in self._retries.values():
            if retry.due_s <= now_s:
                found.append(retry.record)
                if len(found) == most:
                    break
        return found

    def seconds_until_due(self, now_s: float) -> float:
        """Return how long until something is due; infinity where nothing waits."""
        earliest = min((retry.due_s for retry in self._retries.values()), default=float("inf"))
        return max(earliest - now_s, 0.0)

    def is_suspect(self, record: KafkaRecord) -> bool:
        """Tell whether a record failed while others went through."""
        retry = self._retries.get(record[:3])
        return retry is not None and retry.suspect_failures > 0

    def suspects(self, times: int) -> list[KafkaRecord]:
        """Return the records that failed so many times while others went through."""
        return [retry.record for retry in self._retries.values() if retry.suspect_failures >= times]

    def to_commit(self, only: Collection[Partition] | None = None) -> dict[Partition, int]:
        """Return the offset that each partition may be committed at, where that is news."""
        positions: dict[Partition, int] = {}
        for partition, after in self._next.items():
            if only is None or partition in only:
                position = min(self._open[partition], default=after)
                if self._committed.get(partition) != position:
                    positions[partition] = position
        return positions

    def committed(self, positions: Mapping[Partition, int]) -> None:
        """Note what the broker has."""
        self._committed.update(positions)

    def drop_partitions(self, partitions: Iterable[Partition]) -> None:
        """Drop everything of partitions that are another member's now."""
        for partition in partitions:
            self._next.pop(partition, None)
            self._committed.pop(partition, None)
            for offset in self._open.pop(partition, {}):
                self._retries.pop((*partition, offset), None)
