"""Makes a month's partition before its events are stored; moving them out of the default partition costs far more."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from cloud_functions.db.connect import Database, LockedError
from cloud_functions.db.partitions.partitions import (
    MIN_EVENTS_OF_OLD_MONTH,
    RECENT_MONTHS,
    ensure_partition,
    list_partitions,
    month_start,
)
from cloud_functions.ingest.validation import ValidatedEvent
from shared.clock import Clock
from shared.errors import TransientError

log = logging.getLogger(__name__)

_RETRY_PAUSES_S: Final = (0.05, 0.2)
"""Pauses between attempts to make a partition while another session holds a lock."""
_RETRY_AFTER_S: Final = 60.0
"""After a failure, the month's events go into the default partition for this long: correct, but slower later."""

Month = str
"""``YYYY-MM``, the first seven characters of a row's timestamp."""


class NoPartitionError(Exception):
    """A row's month may have no partition. Roll back, make the partition, and store again."""


class MonthlyPartitions:
    """A cache of the months that have a partition. Not thread-safe."""

    def __init__(self, *, database: Database, clock: Clock, sleep: Callable[[float], None] = time.sleep) -> None:
        self._database = database
        self._clock = clock
        self._sleep = sleep
        self._known: set[Month] = set()
        self._loaded = False
        self._retry_at_s: dict[Month, float] = {}
        self._events_without_partition: Counter[Month] = Counter()

    def load(self, connection: psycopg.Connection[Any]) -> None:
        """Load the list of partitions, once."""
        if not self._loaded:
            self._known |= {f"{partition.start:%Y-%m}" for partition in list_partitions(connection)}
            self._loaded = True

    def check(self, events: Iterable[ValidatedEvent], *, tolerated: Collection[Month]) -> None:
        """Return if the month of every event has a partition or is among ``tolerated``.

        Raises:
            NoPartitionError: call ``ensure`` for all events of the transaction, then store them again.
        """
        known = self._known
        for event in events:
            month = event.row.timestamp[:7]
            if month not in known and month not in tolerated:
                raise NoPartitionError(month)

    def ensure(self, timestamps: Iterable[str]) -> set[Month]:
        """Make the partitions for events of these times; return the months that have none for now."""
        counts = Counter(timestamp[:7] for timestamp in timestamps)
        without: set[Month] = set()
        for month in sorted(counts.keys() - self._known):
            self._events_without_partition[month] += counts[month]
            if not self._needs_partition(month) or not self._make(month):
                without.add(month)
        return without

    def _needs_partition(self, month: Month) -> bool:
        if self._retry_at_s.get(month, 0.0) > self._clock.monotonic():
            return False
        oldest_recent = f"{month_start(self._clock.now(), months_later=-RECENT_MONTHS):%Y-%m}"
        return month >= oldest_recent or self._events_without_partition[month] >= MIN_EVENTS_OF_OLD_MONTH

    def _make(self, month: Month) -> bool:
        for pause_s in (*_RETRY_PAUSES_S, None):
            try:
                if self._try_to_make(month):
                    return True
            except LockedError as error:
                if pause_s is not None:
                    self._sleep(pause_s)
                    continue
                log.info("deferring the partition of month %s: %s", month, error)
            except TransientError as error:
                log.warning("deferring the partition of month %s: %s", month, error)
            break
        self._retry_at_s[month] = self._clock.monotonic() + _RETRY_AFTER_S
        return False

    def _try_to_make(self, month: Month) -> bool:
        start = datetime(int(month[:4]), int(month[5:7]), 1, tzinfo=UTC)
        with self._database.transaction() as connection:
            made = ensure_partition(connection, start)
        with self._database.transaction() as connection:
            exists = start in {partition.start for partition in list_partitions(connection)}
        if not exists:
            log.info(
                "deferring the partition of month %s: the default partition contains too many of its events", month
            )
            return False
        self._known.add(month)
        self._events_without_partition.pop(month, None)
        log.info("%s the partition of month %s", "created" if made else "found", month)
        return True
