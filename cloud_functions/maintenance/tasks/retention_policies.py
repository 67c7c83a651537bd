"""Deletes what retention has expired: whole months where nothing in them is kept, and single events in small batches.

Each batch is a short transaction, and what is left is found again by the rollups, so a run that was interrupted at any
moment is continued by the next one, and several runs at once do no harm. Held events are never deleted.
"""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial
from typing import Final

from cloud_functions.db.partitions.partitions import (
    Partition,
    delete_plate_reads,
    drop_partition,
    list_partitions,
    lock_partition,
    retention_start,
)
from cloud_functions.db.retention.limits import (
    ExpiredDay,
    Expiry,
    delete_expired,
    expired_days,
    find_expiry,
    month_has_expired,
)
from cloud_functions.db.retention.protection import lock_holds
from cloud_functions.db.retention.sizes import forget_sizes, measure_day, size_cutoffs, unmeasured_days
from cloud_functions.db.types import Connection
from cloud_functions.maintenance.locks import in_transaction
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from shared.errors import TransientError

log = logging.getLogger(__name__)

BATCH: Final = 500
"""Rows deleted in one transaction. A writer of the same counts, such as ingest of the current month, waits for it."""
_READS_PER_DELETE: Final = 2_000
"""The same for the plate reads of a month that nobody writes to any more."""


def drop_expired_months(context: MaintenanceContext) -> int:
    """Drop the months in which everything has expired by age, oldest first; return how many."""
    return _drop_months(context, _expiry(context, {}))


def delete_expired_events(context: MaintenanceContext) -> int:
    """Delete the events that have expired by age in the months that stay; return how many.

    A month that could not be dropped, because somebody reads it, is left to the next run: deleting millions of rows
    costs more than waiting.

    Raises:
        TransientError: the time budget is used up; the next run continues.
    """
    return _delete_days(context, _expiry(context, {}), "their age")


def delete_above_size(context: MaintenanceContext) -> int:
    """Delete the oldest events of each policy whose events and pictures exceed its size; return how many months and
    events.

    Raises:
        TransientError: the time budget is used up; the next run continues.
    """
    with context.database.transaction() as connection:
        days = unmeasured_days(connection)
        forget_sizes(connection)
    for day in days:
        in_transaction(context.database, partial(measure_day, day=day), sleep=context.sleep)
    with context.database.transaction() as connection:
        cutoffs = size_cutoffs(connection)
    if not cutoffs:
        return 0
    expiry = _expiry(context, cutoffs)
    return _drop_months(context, expiry) + _delete_days(context, expiry, "their size")


def _expiry(context: MaintenanceContext, cutoffs: dict[int, datetime]) -> Expiry:
    now = context.clock.now()
    default = retention_start(now, retention_days=context.settings.retention_days)
    with context.database.transaction() as connection:
        return find_expiry(connection, now=now, default_before=default, cutoffs=cutoffs)


def _drop_months(context: MaintenanceContext, expiry: Expiry) -> int:
    with context.database.transaction() as connection:
        expired = [one for one in list_partitions(connection) if _can_be_dropped(connection, expiry, one)]
    return sum(_drop(context, partition, expiry) for partition in expired)


def _can_be_dropped(connection: Connection, expiry: Expiry, partition: Partition) -> bool:
    return month_has_expired(connection, expiry, start=partition.start, end=partition.end)


def _drop(context: MaintenanceContext, partition: Partition, expiry: Expiry) -> int:
    """Delete a month's plate reads and their events, then drop its partition. All totals stay correct at each step.

    The step that deletes pictures records those of the month and drops its table. If a hold is placed or an event that
    is kept arrives meanwhile, the month stays, and its expired events are deleted in batches.
    """
    while in_transaction(
        context.database,
        partial(delete_plate_reads, partition=partition, limit=_READS_PER_DELETE),
        sleep=context.sleep,
    ):
        pass

    def drop(connection: Connection) -> bool:
        lock_holds(connection)
        lock_partition(connection, partition)
        if not _can_be_dropped(connection, expiry, partition):
            return False
        drop_partition(connection, partition)
        return True

    if not in_transaction(context.database, drop, sleep=context.sleep):
        return 0
    log.info("dropped partition %s", partition.name)
    return 1


def _delete_days(context: MaintenanceContext, expiry: Expiry, why: str) -> int:
    deadline_s = context.clock.monotonic() + context.settings.budget_s
    with context.database.transaction() as connection:
        dropped_later = [one for one in list_partitions(connection) if _can_be_dropped(connection, expiry, one)]
        days = [
            day
            for day in expired_days(connection, expiry)
            if not any(one.start <= day.day < one.end for one in dropped_later)
        ]
    deleted = 0
    for day in days:
        deleted += _delete_day(context, day, deadline_s)
        if context.clock.monotonic() > deadline_s:
            raise TransientError(f"deleted {deleted} events that expired by {why}; the next run continues")
    if deleted:
        log.info("deleted %d events that expired by %s", deleted, why)
    return deleted


def _delete_day(context: MaintenanceContext, day: ExpiredDay, deadline_s: float) -> int:
    total, deleted = 0, BATCH
    while deleted == BATCH and context.clock.monotonic() <= deadline_s:
        delete = partial(delete_expired, expired=day, limit=BATCH)
        deleted = in_transaction(context.database, delete, sleep=context.sleep)
        total += deleted
    return total
