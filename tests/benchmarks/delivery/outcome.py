"""What came of a scenario: the journals of the devices compared with what was stored and received."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from infra.local.aws.resources import BUCKET
from tests.benchmarks.delivery.journal import Journal


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from capture, of all events that arrived."""

    p50_s: float
    p95_s: float
    p99_s: float
    largest_s: float

    @classmethod
    def of(cls, journal: Journal, arrived: Mapping[str, float]) -> Latency | None:
        waits = sorted(max(at_s - journal.captured[event_id], 0.0) for event_id, at_s in arrived.items())
        if not waits:
            return None
        if len(waits) == 1:
            return cls(waits[0], waits[0], waits[0], waits[0])
        marks = statistics.quantiles(waits, n=100, method="inclusive")
        return cls(marks[49], marks[94], marks[98], waits[-1])


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows of a scenario's devices in PostgreSQL."""

    rows: dict[str, float]
    """Event id and the start of the transaction that stored it, Unix time."""
    duplicates: int
    """Rows beyond the first with the same event id, or with the same sequence number of a device's outbox."""
    open_gaps: int
    """Sequence numbers that ingest still misses or has given up."""


@dataclass(slots=True)
class Outcome:
    """The figures of one scenario."""

    name: str
    sent: int = 0
    """Events whose put into the outbox returned."""
    cut_off: int = 0
    """Events that were being put when their device was killed, and of which no put returned: not promised."""
    refused: int = 0
    stored: int = 0
    duplicates: int = 0
    lost: int = 0
    open_gaps: int = 0
    images: int = 0
    images_lost: int = 0
    missed: dict[str, int] = field(default_factory=dict[str, int])
    """By subscriber: sent events that it did not receive."""
    repeated: dict[str, int] = field(default_factory=dict[str, int])
    """By subscriber: receipts beyond the first of an event."""
    fault_s: float = 0.0
    heal_s: float | None = None
    latencies: dict[str, Latency | None] = field(default_factory=dict[str, Latency | None])
    """By ``ack``, ``stored`` and subscriber."""
    notes: list[str] = field(default_factory=list[str])
    error: str | None = None

    @property
    def failed(self) -> bool:
        """Whether anything was lost, stored twice or not received, or the scenario did not run to its end."""
        faults = (self.lost, self.duplicates, self.images_lost, self.open_gaps, self.refused, *self.missed.values())
        return self.error is not None or any(faults) or self.sent == 0


def read_stored(database: str, devices: Iterable[str]) -> Stored:
    """Count the rows of the devices in PostgreSQL."""
    query = (
        "SELECT event_id::text, extract(epoch FROM created_at)::float8, device_id, sequence_epoch, sequence"
        " FROM events WHERE device_id = ANY(%s)"
    )
    names = list(devices)
    with psycopg.connect(database, connect_timeout=5) as connection:
        found: list[Any] = connection.execute(query, [names]).fetchall()
        gaps: Any = connection.execute(
            "SELECT count(*) FROM sequence_gaps WHERE device_id = ANY(%s) AND state <> 'closed'", [names]
        ).fetchone()
    rows: dict[str, float] = {}
    for event_id, at_s, *_ in found:
        rows[event_id] = min(at_s, rows.get(event_id, at_s))
    numbers = {(device, epoch, sequence) for _, _, device, epoch, sequence in found}
    duplicates = len(found) - min(len(rows), len(numbers))
    return Stored(rows=rows, duplicates=duplicates, open_gaps=int(gaps[0]))


def lost_images(journal: Journal, objects: Path) -> int:
    """Return how many images of kept events are not in the object store with the same content."""
    return sum(
        not (path := objects / BUCKET / key).is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest
        for key, digest in journal.images.items()
    )


def first_receipts(received: Mapping[str, list[float]], journal: Journal) -> dict[str, float]:
    """Return the first receipt of each event of these devices."""
    return {event_id: min(times) for event_id, times in received.items() if event_id in journal.captured}


def compare(
    outcome: Outcome,
    journal: Journal,
    stored: Stored,
    received: Mapping[str, Mapping[str, list[float]]],
) -> None:
    """Fill the counts and the latencies of ``outcome``. ``received``: by subscriber, which must all be named."""
    outcome.sent = len(journal.kept)
    outcome.refused = len(journal.refused)
    outcome.cut_off = len(journal.captured.keys() - journal.kept.keys() - journal.refused.keys())
    outcome.stored = len(stored.rows)
    outcome.duplicates = stored.duplicates
    outcome.open_gaps = stored.open_gaps
    outcome.lost = len(journal.kept.keys() - stored.rows.keys())
    arrived = {"ack": journal.acknowledged, "stored": stored.rows}
    for name, receipts in received.items():
        arrived[name] = first_receipts(receipts, journal)
        outcome.missed[name] = len(journal.kept.keys() - receipts.keys())
        outcome.repeated[name] = sum(
            len(times) - 1 for event_id, times in receipts.items() if event_id in journal.captured
        )
    for name, times in arrived.items():
        known = {event_id: at_s for event_id, at_s in times.items() if event_id in journal.captured}
        outcome.latencies[name] = Latency.of(journal, known)


def time_to_heal(journal: Journal, arrived: Iterable[Mapping[str, float]], fault_end_s: float) -> float:
    """Return the seconds from the end of the fault until all events from before it had arrived everywhere."""
    before = [event_id for event_id in journal.kept if journal.captured[event_id] <= fault_end_s]
    latest = [times[event_id] for times in arrived for event_id in before if event_id in times]
    return max(max(latest, default=fault_end_s) - fault_end_s, 0.0)
