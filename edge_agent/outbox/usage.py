"""What waits in the outbox for delivery, for the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OLDEST_WAITING: Final = (
    "SELECT (SELECT put_at_s FROM events INDEXED BY events_waiting WHERE sent_at_s IS NULL ORDER BY sequence LIMIT 1),"
    " (SELECT put_at_s FROM images ORDER BY id LIMIT 1)"
)
"""When the oldest event and the oldest image were stored, in outbox time; null where none waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueUsage:
    """One of the two queues."""

    rows: int
    bytes: int
    dropped: int
    """Dropped because of size or age since the outbox was created."""
    oldest_s: float
    """Age of the oldest item; 0 if none waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxUsage:
    """Both queues."""

    events: QueueUsage
    images: QueueUsage
    limit_bytes: int
