"""Retention for all sites: deletes stray events that are older than the limit of the deployment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import psycopg

from cloud_functions.db.maintenance.purge import purge_unusual_times
from cloud_functions.db.partitions.partitions import delete_from_default, month_start
from cloud_functions.maintenance.locks import in_transaction
from cloud_functions.maintenance.tasks.context import MaintenanceContext

ROWS_PER_DELETE: Final = 2_000
"""Rows deleted in one transaction. It takes a tenth of a second, for which a writer of the same counts may wait."""


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
