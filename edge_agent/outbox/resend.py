"""Answering the resend command from the events that were kept after they were sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.outbox.database import Database
from edge_agent.outbox.eviction import UsageCounters
from edge_agent.outbox.ranges import Range, merge_ranges, missing_ranges

_LARGEST = 2**63 - 1
"""Of SQLite's integers; a command may name any number."""


@dataclass(frozen=True, slots=True)
class ResendOutcome:
    """What a request to send again comes to."""

    resent: int
    """Events of the wanted sequences that will be delivered (again): those put back, and those that still waited."""
    unavailable: list[Range]
    """Sequences wanted that are no longer held, or never were."""


def requeue(database: Database, usage: UsageCounters, wanted: Iterable[Range]) -> ResendOutcome:
    """Put kept events of these ranges back among the waiting, inside the caller's transaction."""
    available = 0
    unavailable: list[Range] = []
    for first, last in merge_ranges(wanted):
        within = (min(first, _LARGEST), min(last, _LARGEST))
        held = [
            row[0]
            for row in database.writer.execute(
                "SELECT sequence FROM events WHERE sequence BETWEEN ? AND ? ORDER BY sequence", within
            )
        ]
        available += len(held)
        unavailable.extend(missing_ranges((first, last), held))
        sizes = database.writer.execute(
            # The cloud may have them as they are: their times are never changed again.
            "UPDATE events SET sent_at_s = NULL, due_at_s = 0, clock = NULL"
            " WHERE sequence BETWEEN ? AND ? AND sent_at_s IS NOT NULL RETURNING size",
            within,
        ).fetchall()
        size_bytes = sum(row[0] for row in sizes)
        usage.waiting_events += len(sizes)
        usage.waiting_event_bytes += size_bytes
        usage.sent_bytes -= size_bytes
    return ResendOutcome(resent=available, unavailable=unavailable)
