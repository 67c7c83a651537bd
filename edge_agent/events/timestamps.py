"""Unique timestamps: no two events of one camera and one type get the same snapshot key."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Final

MAX_TIMESTAMPS: Final = 4096


class UniqueTimestamps:
    """The timestamps that one camera's events have used. Thread-safe.

    A snapshot's key is made from the event type and the timestamp. All event builders of a camera share one instance,
    so that a picture is never overwritten by that of another event. The latest ``MAX_TIMESTAMPS`` are remembered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[tuple[str, datetime], None] = {}

    def claim(self, event_type: str, timestamp: datetime) -> datetime:
        """Return ``timestamp``, moved forward by whole microseconds until no event of this type has used it."""
        with self._lock:
            while (event_type, timestamp) in self._used:
                timestamp += timedelta(microseconds=1)
            self._used[event_type, timestamp] = None
            if len(self._used) > MAX_TIMESTAMPS:
                del self._used[next(iter(self._used))]
        return timestamp
