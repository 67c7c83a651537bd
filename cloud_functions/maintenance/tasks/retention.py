"""Retention of the whole deployment: months that lie wholly before the limit go, and older events of no month."""

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
)
from cloud_functions.maintenance.locks import in_transaction
from cloud_functions.maintenance.tasks.context import MaintenanceContext

log = logging.getLogger(__name__)

AT_ONCE: Final = 2_000
"""Rows deleted in one transaction: a tenth of a second, for which a writer of the same counts may wait."""


def drop_old_months(context: MaintenanceContext) -> int:
    """Drop the months that lie wholly before the limit, oldest first; return how many."""
    limit = _limit(context)
    if limit is None:
        return 0
    with context.database.transaction() as connection:
        old = [partition for partition in list_partitions(connection) if partition.end <= limit]
    for partition in old:
        _drop(context, partition)
    return len(old)


def delete_old_strays(context: MaintenanceContext) -> int:
    """Delete events before the limit that no month took; return how many."""
    limit = _limit(context)
    if limit is None:
        return 0
    gone = in_batches(context, partial(delete_from_default, before=limit, limit=AT_ONCE))
    in_batches(context, partial(purge_unusual_times, before=limit, limit=AT_ONCE))
    return gone


def in_batches(context: MaintenanceContext, delete: Callable[[psycopg.Connection[Any]], int]) -> int:
    """Delete in transactions of at most ``AT_ONCE`` until one finds fewer; return how many went."""
    gone = deleted = in_transaction(context.database, delete, sleep=context.sleep)
    while deleted == AT_ONCE:
        deleted = in_transaction(context.database, delete, sleep=context.sleep)
        gone += deleted
    return gone


def _limit(context: MaintenanceContext) -> datetime | None:
    days = context.settings.retention_days
    return None if days is None else context.clock.now() - timedelta(days=days)


def _drop(context: MaintenanceContext, partition: Partition) -> None:
    """Delete a month's plate reads with their events, then drop it: each step leaves every total right."""
    in_batches(context, partial(delete_plate_reads, partition=partition, limit=AT_ONCE))
    in_transaction(context.database, partial(drop_partition, partition=partition), sleep=context.sleep)
    log.info("dropped %s", partition.name)
