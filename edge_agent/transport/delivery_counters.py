"""What delivery counts for the metrics."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from edge_agent.outbox import WaitingEvent
from shared.clock import Clock, SystemClock
from shared.metrics.exposition import Counter, Histogram
from shared.metrics.table import AGENT, by_name

UploadResult = Literal["stored", "refused", "failed"]
UPLOAD_RESULTS: Final[tuple[UploadResult, ...]] = ("stored", "refused", "failed")


class DeliveryCounters:
    """Counts of events and images since the start of the agent. Thread-safe."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.acknowledged = Counter()
        self.capture_to_ack = Histogram(by_name(AGENT)["vedette_capture_to_ack_seconds"].buckets)
        self.uploads = {result: Counter() for result in UPLOAD_RESULTS}

    def record_acknowledged(self, items: Iterable[WaitingEvent]) -> None:
        """Count acknowledged events and the time since their capture, 0 where the clock was set back meanwhile."""
        now = self._clock.now()
        for item in items:
            captured_at = datetime.fromisoformat(json.loads(item.payload)["timestamp"])
            self.acknowledged.add()
            self.capture_to_ack.observe(max((now - captured_at).total_seconds(), 0.0))
