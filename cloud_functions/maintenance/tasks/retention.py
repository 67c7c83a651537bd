"""Retention for all sites: drops months that are entirely older than the limit, and deletes older stray events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import psycopg

from cloud_functions.db.maintenance.purge import purge_unusual_times
from cloud_functions.db.partitions.partitions import (
    Partition,
    delete_from_default,
    delete_plate_reads,
    drop_partition,
    list_partitions,
    month_start,
)
from cloud_functions.maintenance.locks import in_transaction
from cloud_functions.maintenance.tasks.context import MaintenanceContext

log = logging.getLogger(__name__)

ROWS_PER_DELETE: Final = 2_000
"""Rows deleted in one transaction. It takes a tenth of a second, for which a writer of the same counts may wait."""


def drop_old_months(context: MaintenanceContext) -> int:
    """Drop months that are entirely older than the limit, oldest first; return how many."""
    limit = _limit(context)
    if limit is None:
        return 0
    with context.database.transaction() as connection:
        old = [partition for partition in list_partitions(connection) if partition.end <= limit]
    for partition in old:
        _drop(context, partition)
    return len(old)


def delete_old_strays(context: MaintenanceContext) -> int:
    """Delete events older than the limit from the default partition; return how many."""
    limit = _limit(context)
    if limit is None:
        return 0
    deleted = in_batches(context, partial(delete_from_default, before=limit, limit=ROWS_PER_DELETE))
    # The other events of the limit's month are still stored, and their pictures are found by these times.
    in_batches(context, partial(purge_unusual_times, before=month_start(limit), limit=ROWS_PER_DELETE))
    return deleted


def in_batches(context: MaintenanceContext, delete: Callable[[psycopg.Connection[Any]], int]) -> int:
    """Delete in transactions of at most ``ROWS_PER_DELETE`` rows until none is left; return how many."""
    total = deleted = in_transaction(context.database, delete, sleep=context.sleep)
    while deleted == ROWS_PER_DELETE:
        deleted = in_transaction(context.database, delete, sleep=context.sleep)
        total += deleted
    return total


def _limit(context: MaintenanceContext) -> datetime | None:
    days = context.settings.retention_days
    return None if days is None else context.clock.now() - timedelta(days=days)


def _drop(context: MaintenanceContext, partition: Partition) -> None:
    """Delete a month's plate reads and their events, then drop its partition. All totals stay correct at each step.

    The step that deletes pictures records those of the month and drops its table.
    """
    in_batches(context, partial(delete_plate_reads, partition=partition, limit=ROWS_PER_DELETE))
    in_transaction(context.database, partial(drop_partition, partition=partition), sleep=context.sleep)
    log.info("dropped partition %s", partition.name)
