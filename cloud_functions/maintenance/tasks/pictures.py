"""Pictures go with their events: those of deleted events, and all that are older than pictures are kept.

On AWS the bucket's lifecycle rule deletes old pictures by itself; ``SNAPSHOT_RETENTION_DAYS`` does it for buckets that
have none, such as the one of the one-machine stack.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final

from cloud_functions.db.events.delete import SnapshotPath
from cloud_functions.db.snapshots.expired import oldest_expired_snapshots, remove_expired_snapshots
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.snapshot_store import MAX_KEYS_A_DELETE, SnapshotStore
from shared.storage_keys import image_object_keys

log = logging.getLogger(__name__)

_AT_ONCE: Final = MAX_KEYS_A_DELETE // 2
"""Each picture is two objects."""
_ROOTS: Final = ("snapshots/", "thumbnails/")


def delete_expired_pictures(context: MaintenanceContext) -> int:
    """Delete the pictures that were noted when their events were deleted; return how many."""
    store = context.snapshots
    if store is None:
        return 0
    gone = 0
    while pictures := _oldest(context):
        store.delete([key for picture in pictures for key in image_object_keys(picture.device_id, picture.path)])
        with context.database.transaction() as connection:
            remove_expired_snapshots(connection, pictures)
        gone += len(pictures)
    return gone


def delete_old_pictures(context: MaintenanceContext) -> int:
    """Delete pictures of UTC days that ended before pictures are kept; return how many objects went."""
    store, before = context.snapshots, _kept_from(context)
    if store is None or before is None:
        return 0
    gone = 0
    for folder in _old_days(store, before):
        for keys in _batches(store.keys(folder)):
            store.delete(keys)
            gone += len(keys)
    if gone:
        log.info("deleted %d pictures and thumbnails from before %s", gone, before)
    return gone


def _oldest(context: MaintenanceContext) -> list[SnapshotPath]:
    with context.database.transaction() as connection:
        return oldest_expired_snapshots(connection, limit=_AT_ONCE)


def _kept_from(context: MaintenanceContext) -> date | None:
    """Return the first UTC day whose pictures are kept; None: all are.

    Events go by whole months, so pictures do not go before the month of their events.
    """
    now, settings = context.clock.now(), context.settings
    kept: list[date] = []
    if settings.snapshot_retention_days is not None:
        kept.append((now - timedelta(days=settings.snapshot_retention_days)).date())
    if settings.retention_days is not None:
        kept.append((now - timedelta(days=settings.retention_days)).date().replace(day=1))
    return max(kept, default=None)


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
