"""Compares the bucket with the database: finds objects that nothing shows, and rows whose image is missing.

Both directions advance in batches within the time budget and continue in the next run, so that memory and time do not
grow with the bucket. Objects of another form than snapshots of devices are never touched.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby, islice
from typing import Final

from cloud_functions.db.snapshots.object_checks import (
    advance_check,
    begin_check,
    end_check,
    expire_orphans,
    images_of_camera,
    next_camera,
    next_day,
    orphans_among,
    present_rows,
    record_findings,
)
from cloud_functions.db.snapshots.references import SnapshotPath
from cloud_functions.maintenance.locks import in_transaction
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.maintenance.tasks.pictures import first_kept_day
from cloud_functions.object_storage.bucket import ObjectInfo
from cloud_functions.snapshot_store import SnapshotStore
from shared.storage_keys import parse_snapshot_key, snapshot_object_key

log = logging.getLogger(__name__)

_PREFIX: Final = "snapshots/"
_BATCH: Final = 500
_PENDING_FOR: Final = timedelta(days=2)
"""An image of a younger row may not have been uploaded yet."""
_DAY: Final = timedelta(days=1)
_FIRST_DAY: Final = datetime(1, 1, 1, tzinfo=UTC)


def find_orphaned_objects(context: MaintenanceContext) -> int:
    """Record the objects older than the grace period that nothing shows; return how many were found.

    An image may arrive days before its event, which waits in the outbox of its device.
    """
    store = context.snapshots
    if store is None:
        return 0
    before = context.clock.now() - timedelta(days=context.settings.orphan_grace_days)
    deadline_s = _deadline_s(context)
    with context.database.transaction() as connection:
        position = begin_check(connection, "orphaned")
    objects = store.list_objects(_PREFIX, after=position)
    found = 0
    while batch := list(islice(objects, _BATCH)):
        images = dict(_old_images(batch, before))
        with context.database.transaction() as connection:
            orphans = orphans_among(connection, images)
            record_findings(connection, "orphaned", {path: images[path] for path in orphans})
            to = batch[-1].key
            if not advance_check(connection, "orphaned", position=position, to=to, checked=len(batch)):
                return found
        position, found = to, found + len(orphans)
        if context.clock.monotonic() > deadline_s:
            log.info("compared objects up to %s with the database; the next run continues", position)
            return found
    with context.database.transaction() as connection:
        end_check(connection, "orphaned", position=position)
    return found


def find_missing_objects(context: MaintenanceContext) -> int:
    """Record the images of events and snapshots that are not in the bucket; return how many were found.

    Rows of the last two days are left out, and those whose images have reached the end of their retention.
    """
    store = context.snapshots
    if store is None:
        return 0
    now, kept = context.clock.now(), first_kept_day(context)
    oldest = _FIRST_DAY if kept is None else datetime(kept.year, kept.month, kept.day, tzinfo=UTC)
    deadline_s = _deadline_s(context)
    with context.database.transaction() as connection:
        position = begin_check(connection, "missing")
    found = 0
    while (following := _next(context, position, oldest=oldest, before=now - _PENDING_FOR)) is not None:
        day, camera_id = following
        missing, checked = _missing_of(context, store, camera_id, day, before=now - _PENDING_FOR)
        to = f"{day:%Y-%m-%d}/{camera_id}"
        with context.database.transaction() as connection:
            if not advance_check(connection, "missing", position=position, to=to, checked=checked):
                return found
        position, found = to, found + missing
        if context.clock.monotonic() > deadline_s:
            log.info("compared rows up to %s with the bucket; the next run continues", position)
            return found
    with context.database.transaction() as connection:
        end_check(connection, "missing", position=position)
    return found


def delete_orphaned_objects(context: MaintenanceContext) -> int:
    """Record orphaned objects for deletion if a setting says so; return 0. The task ``pictures`` deletes them.

    An object is deleted if it was found that long ago and again since, and its device has been heard since, has no
    event left to send, and misses none.
    """
    days = context.settings.orphan_delete_days
    position = None if days is None else SnapshotPath("", "")
    while days is not None and position is not None:
        expire = partial(expire_orphans, after=timedelta(days=days), position=position, limit=_BATCH)
        position = in_transaction(context.database, expire, sleep=context.sleep)
    return 0


def _deadline_s(context: MaintenanceContext) -> float:
    """Return the end of this step: there are two, and each has half of the time budget."""
    return context.clock.monotonic() + context.settings.budget_s / 2


def _old_images(objects: Sequence[ObjectInfo], before: datetime) -> Iterator[tuple[SnapshotPath, int]]:
    """Yield the snapshots of devices among the objects that were last changed before ``before``, with their sizes."""
    for info in objects:
        _, _, rest = info.key.partition("/")
        device_id, _, path = rest.partition("/")
        if info.modified_at < before and parse_snapshot_key(path) is not None:
            yield SnapshotPath(device_id, path), info.size_bytes


def _next(
    context: MaintenanceContext, position: str, *, oldest: datetime, before: datetime
) -> tuple[datetime, str] | None:
    """Return the UTC day and the camera that follow a position; None at the end of the pass."""
    text, _, camera_id = position.partition("/")
    day = datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
    with context.database.transaction() as connection:
        if day is not None and day >= oldest and (camera := next_camera(connection, day, after=camera_id)) is not None:
            return day, camera
        since = oldest if day is None else max(day + _DAY, oldest)
        while (day := next_day(connection, since=since)) is not None and day < before:
            if (camera := next_camera(connection, day, after="")) is not None:
                return day, camera
            since = day + _DAY
    return None


def _missing_of(
    context: MaintenanceContext, store: SnapshotStore, camera_id: str, day: datetime, *, before: datetime
) -> tuple[int, int]:
    """Record the missing images of a camera and a day; return their number and the number of images."""
    found, checked, after = 0, 0, None
    while True:
        with context.database.transaction() as connection:
            images = images_of_camera(connection, camera_id, day, after=after, before=before, limit=_BATCH)
        absent = [path for group in _folders(images.paths) for path in _absent(store, group)]
        with context.database.transaction() as connection:
            missing = present_rows(connection, absent)  # what was deleted meanwhile is not missing
            record_findings(connection, "missing", dict.fromkeys(missing, 0))
        found, checked, after = found + len(missing), checked + len(images.paths), images.next
        if after is None:
            return found, checked


def _folders(paths: Sequence[SnapshotPath]) -> Iterator[list[SnapshotPath]]:
    """Yield the paths of each folder, in order."""
    for _, group in groupby(paths, key=lambda path: (path.device_id, path.path.rpartition("/")[0])):
        yield list(group)


def _absent(store: SnapshotStore, paths: Sequence[SnapshotPath]) -> list[SnapshotPath]:
    """Return the paths, sorted and of one folder, without an object. Few are looked up, many compared with a list."""
    keys = {snapshot_object_key(path.device_id, path.path): path for path in paths}
    if len(keys) == 1:
        return [path for key, path in keys.items() if not store.exists(key)]
    first, last = min(keys), max(keys)
    before_first = first[:-1] + chr(ord(first[-1]) - 1)  # keys after this one begin with ``first`` at the latest
    for info in store.list_objects(first.rpartition("/")[0] + "/", after=before_first):
        if info.key > last:
            break
        keys.pop(info.key, None)
    return list(keys.values())
