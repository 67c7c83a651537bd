"""Limits how many events of each camera are published to subscribers. All events are stored all the same.

Only repetitive events count and are suppressed: ``motion``, ``detection``, and ``updated`` of ``tracking``. What begins
or ends something, and plates, matches, rules and snapshots, is always published.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from cloud_functions.db.devices.fanout_rates import Camera, take_tokens
from cloud_functions.db.types import Connection
from cloud_functions.ingest.publish import EventPublisher, Publication
from cloud_functions.observability import Metrics
from shared.errors import VedetteError

log = logging.getLogger(__name__)

_REPORT_EVERY_S: Final = 60.0


class RateLimitedPublisher:
    """Publishes what the limit of each camera allows. If the limit cannot be read, it publishes everything."""

    def __init__(
        self,
        publisher: EventPublisher,
        *,
        transaction: Callable[[], AbstractContextManager[Connection]],
        metrics: Metrics,
        per_s: float,
        burst: int,
    ) -> None:
        """``per_s``: events of a camera that are published in a second; ``burst``: after a pause, at once."""
        self._publisher = publisher
        self._transaction = transaction
        self._metrics = metrics
        self._per_s = per_s
        self._burst = burst
        self._suppressed: Counter[str] = Counter()
        self._reported_s = 0.0

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        asked = Counter(one.limited for one in publications if one.limited is not None)
        if not asked:
            return self._publisher.publish(publications)
        try:
            with self._transaction() as connection:
                granted = take_tokens(connection, asked, per_s=self._per_s, burst=self._burst)
        except VedetteError as error:
            log.warning("events are published without their limit: %s", error)
            return self._publisher.publish(publications)
        allowed: list[Publication] = []
        for one in publications:
            if one.limited is None:
                allowed.append(one)
            elif granted.get(one.limited, 0) > 0:
                granted[one.limited] -= 1
                allowed.append(one)
            else:
                self._count(one.limited)
        self._report()
        return self._publisher.publish(allowed) if allowed else set()

    def _count(self, camera: Camera) -> None:
        self._suppressed[camera[1]] += 1
        self._metrics.count("EventsSuppressed")

    def _report(self) -> None:
        """Log what was suppressed, at most once a minute."""
        if not self._suppressed or time.monotonic() - self._reported_s < _REPORT_EVERY_S:
            return
        self._reported_s = time.monotonic()
        worst = ", ".join(f"{camera} {count}" for camera, count in self._suppressed.most_common(5))
        log.warning(
            "%d events of %d cameras were stored but not published, because of FANOUT_EVENTS_PER_S: %s",
            self._suppressed.total(),
            len(self._suppressed),
            worst,
        )
        self._suppressed.clear()
