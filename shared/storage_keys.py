"""Object keys of snapshots. A key is derived from the event, so image and event may arrive in either order."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from shared.errors import ContractError
from shared.ids import require_segment

CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
EXTENSIONS = {content_type: extension for extension, content_type in CONTENT_TYPES.items()}

SNAPSHOT_KEY_PATTERN = (
    r"^[A-Za-z0-9_-]{1,100}/[0-9]{4}-[0-9]{2}-[0-9]{2}/[a-z_]{1,40}_[0-9]{6}_[0-9]{6}\.(jpg|png|webp)$"
)
"""Pattern of a snapshot key. Uses ``[0-9]`` because ``\\d`` matches the digits of every script."""
_KEY = re.compile(SNAPSHOT_KEY_PATTERN.removeprefix("^").removesuffix("$"))


def snapshot_key(*, camera_id: str, event_type: str, timestamp: datetime, extension: str) -> str:
    """Return ``{camera_id}/{YYYY-MM-DD}/{event_type}_{HHMMSS}_{microseconds}.{extension}``, in UTC."""
    require_segment(camera_id, name="camera_id")
    if extension not in CONTENT_TYPES:
        raise ContractError(f"a snapshot is jpg, png or webp, not {extension!r}", reason="bad_key")
    moment = timestamp.astimezone(UTC)
    return f"{camera_id}/{moment:%Y-%m-%d}/{event_type}_{moment:%H%M%S}_{moment:%f}.{extension}"


def is_snapshot_key(key: str) -> bool:
    """Return whether ``key`` has the form that ``snapshot_key`` produces."""
    return _KEY.fullmatch(key) is not None


def check_snapshot_key(key: str) -> str:
    """Return ``key`` unchanged. Raises ContractError if it does not have the form that ``snapshot_key`` produces."""
    if not is_snapshot_key(key):
        raise ContractError(f"not a snapshot key: {key[:200]!r}", reason="bad_key")
    return key


def snapshot_object_key(device_id: str, key: str) -> str:
    """Return the object's full key in the bucket; the device's IAM policy is bound to this prefix."""
    return f"snapshots/{require_segment(device_id, name='device_id')}/{check_snapshot_key(key)}"


def thumbnail_key(key: str) -> str:
    """Return the key of a snapshot's thumbnail, which is always a JPEG."""
    return f"{check_snapshot_key(key).rsplit('.', 1)[0]}.jpg"


def thumbnail_object_key(device_id: str, key: str) -> str:
    """Return the thumbnail's full key in the bucket."""
    return f"thumbnails/{require_segment(device_id, name='device_id')}/{thumbnail_key(key)}"


def image_object_keys(device_id: str, key: str) -> tuple[str, ...]:
    """Return the full keys of snapshot and thumbnail; empty if the key is not a valid snapshot key.

    Deletion uses this list, so an event with a foreign key deletes nothing.
    """
    if not is_snapshot_key(key):
        return ()
    return (snapshot_object_key(device_id, key), thumbnail_object_key(device_id, key))
