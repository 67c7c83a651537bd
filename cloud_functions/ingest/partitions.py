"""Sees to it that a month has its partition before its events come: moving them later costs many times as much."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from cloud_functions.db.connect import Database, LockedError
from cloud_functions.db.events.insert import EventRow
from cloud_functions.db.partitions.partitions import ensure_partition, list_partitions, month_start
from shared.clock import Clock
from shared.errors import TransientError

log = logging.getLogger(__name__)

_RECENT_MONTHS: Final = 60
_FEW_EVENTS: Final = 50
"""Of an older month so many events must have come: a device whose clock is wrong must not make a partition a month."""
_PAUSES_S: Final = (0.05, 0.2)
"""Between attempts to make a partition that somebody's lock prevents."""
_AGAIN_AFTER_S: Final = 60.0
"""A month that cannot get a partition now is stored in the default one meanwhile, which is right but slower later."""

Month = str
"""``YYYY-MM``: what a row's time begins with."""


class NoPartitionError(Exception):
    """A row's month may have no partition yet; what was begun is taken back, the partition made, and begun again."""


class MonthlyPartitions:
    """Which months have a partition, as far as this process knows. Not for use by two threads at a time."""

    def __init__(self, *, database: Database, clock: Clock, sleep: Callable[[float], None] = time.sleep) -> None:
        self._database = database
        self._clock = clock
        self._sleep = sleep
        self._known: set[Month] = set()
        self._loaded = False
        self._given_up: dict[Month, float] = {}
        self._strays: Counter[Month] = Counter()

    def load(self, connection: psycopg.Connection[Any]) -> None:
        """Ask once which partitions there are."""
        if not self._loaded:
            self._known |= {f"{partition.start:%Y-%m}" for partition in list_partitions(connection)}
            self._loaded = True

    def checked(self, rows: Iterable[EventRow], tolerated: Collection[Month]) -> Iterator[EventRow]:
        """Give out rows while their months have partitions, or are among ``tolerated``.

        Raises:
            NoPartitionError: call ``make`` for all rows of the transaction, and begin it again.
        """
        known = self._known
        for row in rows:
            if row.timestamp[:7] not in known and row.timestamp[:7] not in tolerated:
                raise NoPartitionError(row.timestamp[:7])
            yield row

    def make(self, timestamps: Iterable[str]) -> set[Month]:
        """Make the partitions that events of these times want; return the months that must do without one for now."""
        found = Counter(timestamp[:7] for timestamp in timestamps)
        without: set[Month] = set()
        for month in sorted(found.keys() - self._known):
            self._strays[month] += found[month]
            if not self._wants_partition(month) or not self._make(month):
                without.add(month)
        return without

    def _wants_partition(self, month: Month) -> bool:
        if self._given_up.get(month, 0.0) > self._clock.monotonic():
            return False
        recent = f"{month_start(self._clock.now(), months_later=-_RECENT_MONTHS):%Y-%m}"
        return month >= recent or self._strays[month] >= _FEW_EVENTS

    def _make(self, month: Month) -> bool:
        start = datetime(int(month[:4]), int(month[5:7]), 1, tzinfo=UTC)
        for pause_s in (*_PAUSES_S, None):
            try:
                with self._database.transaction() as connection:
                    made = ensure_partition(connection, start)
                with self._database.transaction() as connection:
                    there = start in {partition.start for partition in list_partitions(connection)}
            except LockedError as error:
                if pause_s is None:
                    log.info("month %s gets its partition later: %s", month, error)
                    break
                self._sleep(pause_s)
            except TransientError as error:
                log.warning("month %s gets its partition later: %s", month, error)
                break
            else:
                if there:
                    self._known.add(month)
                    self._strays.pop(month, None)
                    log.info("month %s %s", month, "has a partition now" if made else "has a partition")
                    return True
                log.info("month %s gets its partition later: the default one holds much", month)
                break
        self._given_up[month] = self._clock.monotonic() + _AGAIN_AFTER_S
        return False
