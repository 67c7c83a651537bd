"""Deletes snapshots and thumbnails: those of deleted events, and those past their own retention.

On AWS a lifecycle rule of the bucket deletes old objects. ``SNAPSHOT_RETENTION_DAYS`` does so for buckets without a
rule, such as the bucket of the one-machine stack, and ends the lives of requested snapshots everywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final

from cloud_functions.db.events.delete import SnapshotPath
from cloud_functions.db.snapshots.expired import database_time, oldest_expired_snapshots, remove_expired_snapshots
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.object_storage.bucket import MAX_KEYS_A_DELETE
from cloud_functions.snapshot_store import SnapshotStore
from shared.storage_keys import image_object_keys

log = logging.getLogger(__name__)

_SNAPSHOTS_PER_DELETE: Final = MAX_KEYS_A_DELETE // 2
"""Snapshots in one delete request: each has two objects, the image and the thumbnail."""
_ROOTS: Final = ("snapshots/", "thumbnails/")


def delete_expired_pictures(context: MaintenanceContext) -> int:
    """Delete the snapshots of deleted events, and those that may have arrived since; return how many."""
    store = context.snapshots
    if store is None:
        return 0
    deleted = 0
    with context.database.transaction() as connection:
        begun = database_time(connection)
    while pictures := _oldest(context, noted_by=begun):
        store.delete([key for picture in pictures for key in image_object_keys(picture.device_id, picture.path)])
        with context.database.transaction() as connection:
            remove_expired_snapshots(connection, pictures)
        deleted += len(pictures)
    return deleted


def delete_old_pictures(context: MaintenanceContext) -> int:
    """Delete the objects of UTC days that are older than the retention; return how many."""
    store, before = context.snapshots, first_kept_day(context)
    if store is None or before is None:
        return 0
    deleted = 0
    for folder in _old_days(store, before):
        for keys in _batches(store.keys(folder)):
            store.delete(keys)
            deleted += len(keys)
    if deleted:
        log.info("deleted %d snapshots and thumbnails from before %s", deleted, before)
    return deleted


def _oldest(context: MaintenanceContext, *, noted_by: datetime) -> list[SnapshotPath]:
    with context.database.transaction() as connection:
        return oldest_expired_snapshots(connection, limit=_SNAPSHOTS_PER_DELETE, noted_by=noted_by)


def first_kept_day(context: MaintenanceContext) -> date | None:
    """Return the first UTC day whose snapshots are kept, or None if all are kept.

    Events expire by whole months, so snapshots are kept for the whole month of their events.
    """
    now, settings = context.clock.now(), context.settings
    limits: list[date] = []
    if settings.snapshot_retention_days is not None:
        limits.append((now - timedelta(days=settings.snapshot_retention_days)).date())
    if settings.retention_days is not None:
        limits.append((now - timedelta(days=settings.retention_days)).date().replace(day=1))
    return max(limits, default=None)


def _old_days(store: SnapshotStore, before: date) -> Iterator[str]:
    """Yield the folders ``…/{device}/{camera}/{YYYY-MM-DD}/`` of days before ``before``."""
    for root in _ROOTS:
        for device in store.folders(root):
            for camera in store.folders(device):
                for folder in store.folders(camera):
                    day = _day_of(folder)
                    if day is not None and day < before:
                        yield folder


def _day_of(folder: str) -> date | None:
    try:
        return datetime.strptime(folder.rstrip("/").rpartition("/")[2], "%Y-%m-%d").date()  # noqa: DTZ007  a UTC day
    except ValueError:
        return None


def _batches(keys: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(keys, MAX_KEYS_A_DELETE)):
        yield batch
