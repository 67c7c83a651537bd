"""Deletes snapshots, thumbnails and images of plates: those of deleted events, and those past their own retention.

On AWS a lifecycle rule of the bucket deletes old objects. ``SNAPSHOT_RETENTION_DAYS`` does so for buckets without a
rule, such as the bucket of the one-machine stack, and ends the lives of requested snapshots everywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import islice
from typing import Final

from cloud_functions.db.partitions.expired_months import check_expired_month
from cloud_functions.db.snapshots.expired import (
    check_released_pictures,
    database_time,
    oldest_expired_snapshots,
    remove_expired_snapshots,
)
from cloud_functions.db.snapshots.references import SnapshotPath, kept_in, shown_since
from cloud_functions.maintenance.locks import in_transaction
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.object_storage.bucket import MAX_KEYS_A_DELETE
from cloud_functions.snapshot_store import SnapshotStore
from shared.storage_keys import image_object_keys

log = logging.getLogger(__name__)

_SNAPSHOTS_PER_DELETE: Final = MAX_KEYS_A_DELETE // 2
"""Snapshots in one delete request: each has two objects, the image and the thumbnail."""
_ROOTS: Final = ("snapshots/", "thumbnails/")
MAX_RUN_S: Final = 40.0
"""Longest time of one run that deletes pictures: it is repeated each minute, and other tasks wait meanwhile."""


def remove_pictures(context: MaintenanceContext, *, late: bool = True) -> int:
    """Delete the pictures of deleted events that nothing shows any more; return how many.

    ``late``: also those that were deleted before and may have arrived since. Every batch is a transaction of its own,
    so an interrupted run loses nothing. A run ends after ``MAX_RUN_S`` or the time budget; the next one continues.
    Without a bucket, pictures are only recorded.
    """
    deadline_s = context.clock.monotonic() + min(context.settings.budget_s, MAX_RUN_S)
    retried_by: datetime | None = None
    if late:
        with context.database.transaction() as connection:
            retried_by = database_time(connection)
    removed = 0
    while context.clock.monotonic() <= deadline_s:
        checked = _check(context)
        pictures = _delete_batch(context, retried_by=retried_by)
        removed += pictures
        if not checked and not pictures:
            break
    return removed


def delete_old_pictures(context: MaintenanceContext) -> int:
    """Delete the objects of UTC days that are older than the retention; return how many.

    A picture that a later event or snapshot shows is kept, and so are those of held events. Events that a hold or a
    policy keeps longer than ``RETENTION_DAYS`` keep their pictures for ``SNAPSHOT_RETENTION_DAYS``.
    """
    store, before = context.snapshots, first_kept_day(context)
    if store is None or before is None:
        return 0
    deleted = 0
    for folder, day in _old_days(store, before):
        kept = _kept_in(context, folder, day, before)
        for keys in _batches(key for key in store.keys(folder) if key not in kept):
            store.delete(keys)
            deleted += len(keys)
    if deleted:
        log.info("deleted %d snapshots and thumbnails from before %s", deleted, before)
    return deleted


def _check(context: MaintenanceContext) -> int:
    """Record unshown pictures of deleted events and of dropped months for deletion; return the number checked."""
    return sum(
        in_transaction(context.database, partial(check, limit=_SNAPSHOTS_PER_DELETE), sleep=context.sleep)
        for check in (check_released_pictures, check_expired_month)
    )


def _delete_batch(context: MaintenanceContext, *, retried_by: datetime | None) -> int:
    store = context.snapshots
    pictures = [] if store is None else _oldest(context, retried_by=retried_by)
    if store is None or not pictures:
        return 0
    store.delete([key for picture in pictures for key in image_object_keys(picture.device_id, picture.path)])
    with context.database.transaction() as connection:
        remove_expired_snapshots(connection, pictures)
    return len(pictures)


def _oldest(context: MaintenanceContext, *, retried_by: datetime | None) -> list[SnapshotPath]:
    with context.database.transaction() as connection:
        return oldest_expired_snapshots(connection, limit=_SNAPSHOTS_PER_DELETE, retried_by=retried_by)


def _kept_in(context: MaintenanceContext, folder: str, day: date, before: date) -> set[str]:
    """Return the keys in a folder of an old day that are shown by something of a day that is kept, or of a held event.

    If only the retention of events has ended, those of all events that are still stored.
    """
    _, device_id, path = folder.rstrip("/").split("/", 2)
    since = datetime.combine(before, time(), UTC)
    own_limit = _first_day_of_pictures(context)
    held_only = own_limit is not None and day < own_limit
    with context.database.transaction() as connection:
        shown = shown_since(connection, device_id, path, since)
        shown += kept_in(connection, device_id, path, held_only=held_only)
    return {key for path in shown for key in image_object_keys(device_id, path)}


def first_kept_day(context: MaintenanceContext) -> date | None:
    """Return the first UTC day whose snapshots are kept, or None if all are kept.

    Events expire by whole months, so snapshots are kept for the whole month of their events.
    """
    now, settings = context.clock.now(), context.settings
    limits = [_first_day_of_pictures(context)]
    if settings.retention_days is not None:
        limits.append((now - timedelta(days=settings.retention_days)).date().replace(day=1))
    return max((limit for limit in limits if limit is not None), default=None)


def _first_day_of_pictures(context: MaintenanceContext) -> date | None:
    days = context.settings.snapshot_retention_days
    return None if days is None else (context.clock.now() - timedelta(days=days)).date()


def _old_days(store: SnapshotStore, before: date) -> Iterator[tuple[str, date]]:
    """Yield the folders ``…/{device}/{camera}/{YYYY-MM-DD}/`` of days before ``before``, and the day of each."""
    for root in _ROOTS:
        for device in store.folders(root):
            for camera in store.folders(device):
                for folder in store.folders(camera):
                    day = _day_of(folder)
                    if day is not None and day < before:
                        yield folder, day


def _day_of(folder: str) -> date | None:
    try:
        return datetime.strptime(folder.rstrip("/").rpartition("/")[2], "%Y-%m-%d").date()  # noqa: DTZ007  a UTC day
    except ValueError:
        return None


def _batches(keys: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(keys, MAX_KEYS_A_DELETE)):
        yield batch
