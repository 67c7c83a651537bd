"""Snapshots that were requested from cameras: completes them when their images arrive, and deletes expired ones."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Final

from cloud_functions.db.snapshots.changes import expire_snapshots, give_up_pending, mark_stored
from cloud_functions.db.snapshots.queries import pending_uploads
from cloud_functions.db.snapshots.record import CameraSnapshot
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.maintenance.tasks.pictures import first_kept_day
from cloud_functions.maintenance.tasks.retention import ROWS_PER_DELETE, in_batches

log = logging.getLogger(__name__)

PENDING_FOR: Final = timedelta(days=2)
"""Time after which a snapshot without an image has failed. Devices that were offline upload later than others."""
FAILED_FOR: Final = timedelta(days=7)
"""Time for which a failed snapshot is kept."""
_BATCH: Final = 200
_MAX_CHECKED: Final = 2_000
"""Images looked for in one run. The others wait for the next one."""
_GIVEN_UP: Final = "the device did not upload the image in time"


def complete_snapshots(context: MaintenanceContext) -> int:
    """Mark pending snapshots whose image is in the bucket as stored; return how many.

    A device that could not reach the bucket describes its snapshot first and uploads the image later.
    """
    store, completed, checked = context.snapshots, 0, 0
    last: CameraSnapshot | None = None
    while store is not None and checked < _MAX_CHECKED:
        with context.database.transaction() as connection:
            pending = pending_uploads(connection, after=last, limit=_BATCH)
        if not pending:
            break
        last, checked = pending[-1], checked + len(pending)
        stored = [one for one in pending if one.storage_path is not None and store.exists(one.storage_path)]
        with context.database.transaction() as connection:
            for snapshot in stored:
                mark_stored(connection, snapshot)
        completed += len(stored)
    return completed


def give_up_snapshots(context: MaintenanceContext) -> int:
    """Mark snapshots as failed that have been pending for two days; return how many."""
    before = context.clock.now() - PENDING_FOR
    return in_batches(context, partial(give_up_pending, before=before, error=_GIVEN_UP, limit=ROWS_PER_DELETE))


def delete_expired_snapshots(context: MaintenanceContext) -> int:
    """Delete expired snapshots and record their images for deletion; return how many."""
    first_kept = first_kept_day(context)
    captured_before = None if first_kept is None else datetime.combine(first_kept, time(), UTC)
    deleted = in_batches(
        context,
        partial(
            expire_snapshots,
            now=context.clock.now(),
            captured_before=captured_before,
            failed_for=FAILED_FOR,
            limit=ROWS_PER_DELETE,
        ),
    )
    if deleted:
        log.info("deleted %d expired snapshots of cameras", deleted)
    return deleted
