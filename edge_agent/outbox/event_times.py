"""Corrects the times of an event that was stamped before the clock was set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from shared.clock import format_utc
from shared.events import Event, SnapshotData, SnapshotRef
from shared.storage_keys import EXTENSIONS, snapshot_key, thumbnail_key

SUPERSEDED = "superseded_timestamps"
"""Extra field of an event that was corrected after it may have been received. Holds its earlier timestamps."""


Shift = Callable[[datetime], datetime]
"""Maps an uncorrected time to the corrected one."""


def shift_by(seconds: float) -> Shift:
    """Return a function that adds this many seconds to a time."""
    difference = timedelta(seconds=seconds)
    return lambda moment: moment + difference


def shift_event(event: Event, shift: Shift, *, move_snapshot: bool, maybe_received: bool = False) -> Event:
    """Return the event with all its times corrected; the same object if nothing changes.

    ``move_snapshot``: derive the snapshot's key from the new time. Pass False if the image may be stored under the
    old key already. The key of a requested snapshot that is stored never changes. ``maybe_received``: record the old
    timestamp in ``superseded_timestamps``, so that the cloud can replace its copy.
    """
    shifted = _with_times_shifted(event, shift)
    if shifted is event:
        return event
    changes: dict[str, Any] = {}
    if maybe_received:
        earlier = (event.model_extra or {}).get(SUPERSEDED) or []
        changes[SUPERSEDED] = [*earlier, format_utc(event.timestamp)]
    if (
        move_snapshot
        and not _is_stored(event)
        and event.snapshot is not None
        and event.snapshot.key == _key_of(event, event.snapshot)
    ):
        key = _key_of(shifted, event.snapshot)
        changes["snapshot"] = event.snapshot.model_copy(update={"key": key})
        data = shifted.event_data
        if isinstance(data, SnapshotData) and data.thumbnail_key is not None:
            changes["event_data"] = data.model_copy(update={"thumbnail_key": thumbnail_key(key)})
    return shifted.model_copy(update=changes)


def _is_stored(event: Event) -> bool:
    """Return whether the event says that its image is in the bucket."""
    return isinstance(event.event_data, SnapshotData) and event.event_data.stored is True


def _key_of(event: Event, snapshot: SnapshotRef) -> str:
    """Return the snapshot key that follows from the event's timestamp."""
    return snapshot_key(
        camera_id=event.camera_id,
        event_type=event.event_type,
        timestamp=event.timestamp,
        extension=EXTENSIONS[snapshot.content_type],
    )


def _with_times_shifted(value: Any, shift: Shift) -> Any:
    """Return ``value`` with every declared time shifted. Extra fields that no model declares stay unchanged."""
    if isinstance(value, datetime):
        shifted = shift(value)
        return value if shifted == value else shifted
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        changed = {name: new for name, old in fields.items() if (new := _with_times_shifted(old, shift)) is not old}
        return value.model_copy(update=changed) if changed else value
    if isinstance(value, list):
        shifted_items = [_with_times_shifted(item, shift) for item in value]
        return shifted_items if any(new is not old for new, old in zip(shifted_items, value, strict=True)) else value
    if isinstance(value, tuple):
        shifted_items = [_with_times_shifted(item, shift) for item in value]
        return tuple(shifted_items) if any(n is not o for n, o in zip(shifted_items, value, strict=True)) else value
    return value
