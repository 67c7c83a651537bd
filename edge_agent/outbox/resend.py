"""Serves the resend command from sent events that are still stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.outbox.database import Database
from edge_agent.outbox.eviction import UsageCounters
from edge_agent.outbox.ranges import Range, merge_ranges, missing_ranges

_MAX_INTEGER = 2**63 - 1
"""Largest SQLite integer. A command may contain larger numbers."""


@dataclass(frozen=True, slots=True)
class ResendOutcome:
    """Result of a resend request."""

    resent: int
    """Number of requested events that will be delivered: those queued again and those still pending."""
    unavailable: list[Range]
    """Requested sequences that are no longer stored or never existed."""


def requeue(database: Database, usage: UsageCounters, requested: Iterable[Range]) -> ResendOutcome:
    """Mark sent events of these ranges as pending again, inside the caller's transaction."""
    available = 0
    unavailable: list[Range] = []
    for first, last in merge_ranges(requested):
        within = (min(first, _MAX_INTEGER), min(last, _MAX_INTEGER))
        held = [
            row[0]
            for row in database.writer.execute(
                "SELECT sequence FROM events WHERE sequence BETWEEN ? AND ? ORDER BY sequence", within
            )
        ]
        available += len(held)
        unavailable.extend(missing_ranges((first, last), held))
        sizes = database.writer.execute(
            # The cloud may already have these events with these times, so the times are final.
            "UPDATE events SET sent_at_s = NULL, due_at_s = 0, clock = NULL"
            " WHERE sequence BETWEEN ? AND ? AND sent_at_s IS NOT NULL RETURNING size",
            within,
        ).fetchall()
        size_bytes = sum(row[0] for row in sizes)
        usage.waiting_events += len(sizes)
        usage.waiting_event_bytes += size_bytes
        usage.sent_bytes -= size_bytes
    return ResendOutcome(resent=available, unavailable=unavailable)
