"""Removes old entries of the audit log."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

from cloud_functions.db.audit.retention import remove_entries_before
from cloud_functions.db.snapshots.expired import database_time
from cloud_functions.maintenance.locks import in_transaction
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.maintenance.tasks.retention import ROWS_PER_DELETE

log = logging.getLogger(__name__)


def remove_old_audit_entries(context: MaintenanceContext) -> int:
    """Remove the entries that are older than the retention of the audit log; return how many."""
    days = context.settings.audit_retention_days
    if days is None:
        return 0
    with context.database.transaction() as connection:
        begun = database_time(connection)
    before = min(context.clock.now() - timedelta(days=days), begun)  # not what this run itself adds
    total = 0
    remove = partial(remove_entries_before, before=before, limit=ROWS_PER_DELETE)
    while removed := in_transaction(context.database, remove, sleep=context.sleep):
        total += removed
    if total:
        log.info("removed %d entries of the audit log from before %s", total, before)
    return total
