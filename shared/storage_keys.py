"""Object keys of images: the only definition of their format.

A snapshot's key is derived from its event, so image and event may arrive in either order.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from shared.errors import ContractError
from shared.ids import require_segment

CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
EXTENSIONS = {content_type: extension for extension, content_type in CONTENT_TYPES.items()}

SNAPSHOT_KEY_PATTERN = (
    r"^[A-Za-z0-9_-]{1,100}/[0-9]{4}-[0-9]{2}-[0-9]{2}/[a-z_]{1,40}_[0-9]{6}_[0-9]{6}\.(jpg|png|webp)$"
)
"""Pattern of a snapshot key. Uses ``[0-9]`` because ``\\d`` matches the digits of every script."""
_SNAPSHOT_KEY: Final = re.compile(SNAPSHOT_KEY_PATTERN.removeprefix("^").removesuffix("$"))
_IMAGE_KEY: Final = re.compile(r"[A-Za-z0-9_./-]{1,500}")


class SnapshotKeyParts(NamedTuple):
    """The camera and the time in a snapshot key."""

    camera_id: str
    timestamp: datetime


def snapshot_key(*, camera_id: str, event_type: str, timestamp: datetime, extension: str) -> str:
    """Return ``{camera_id}/{YYYY-MM-DD}/{event_type}_{HHMMSS}_{microseconds}.{extension}``, in UTC."""
    require_segment(camera_id, name="camera_id")
    if extension not in CONTENT_TYPES:
        raise ContractError(f"a snapshot is jpg, png or webp, not {extension!r}", reason="bad_key")
    moment = timestamp.astimezone(UTC)
    return f"{camera_id}/{moment:%Y-%m-%d}/{event_type}_{moment:%H%M%S}_{moment:%f}.{extension}"


def is_snapshot_key(key: str) -> bool:
    """Return whether ``key`` has the form that ``snapshot_key`` produces."""
    return _SNAPSHOT_KEY.fullmatch(key) is not None


def check_snapshot_key(key: str) -> str:
    """Return ``key`` unchanged. Raises ContractError if it does not have the form that ``snapshot_key`` produces."""
    if not is_snapshot_key(key):
        raise ContractError(f"not a snapshot key: {key[:200]!r}", reason="bad_key")
    return key


def parse_snapshot_key(key: str) -> SnapshotKeyParts | None:
    """Return the camera and the time in a snapshot key; None if ``key`` has another form or an impossible time."""
    if not is_snapshot_key(key):
        return None
    camera_id, day, name = key.split("/")
    time_of_day = name.partition(".")[0][-len("HHMMSS_ffffff") :]
    try:
        moment = datetime.strptime(f"{day} {time_of_day}", "%Y-%m-%d %H%M%S_%f").replace(tzinfo=UTC)
    except ValueError:
        return None
    return SnapshotKeyParts(camera_id, moment)


def snapshot_key_matches(key: str, camera_id: str, timestamp: str) -> bool:
    """Return whether a snapshot key has this camera and this time, given as ``format_utc`` writes it.

    Ingest calls this for every event, so it compares text instead of parsing the key.
    """
    day, time_of_day = timestamp[:10], timestamp[11:26].replace(":", "").replace(".", "_")
    return key.startswith(f"{camera_id}/{day}/") and f"_{time_of_day}." in key


def check_image_key(key: str, *, name: str) -> str:
    """Return the key of an image that another program stored, unchanged.

    Such a key need not be a snapshot key. Raises ContractError, which contains the field ``name``, if it has other
    characters than A-Z a-z 0-9 _ . / - or a length outside 1 to 500.
    """
    if _IMAGE_KEY.fullmatch(key) is None:
        raise ContractError(f"{name} must be 1 to 500 of A-Z a-z 0-9 _ . / -")
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


def device_image_key(device_id: str, key: str) -> str | None:
    """Return the key of an image below the prefix of its device; None if it is not in the bucket of snapshots.

    ``key`` is a snapshot key, or the whole key of such an object.
    """
    relative = key.removeprefix(f"snapshots/{device_id}/")
    return relative if is_snapshot_key(relative) else None


def image_object_keys(device_id: str, key: str) -> tuple[str, ...]:
    """Return the full keys of snapshot and thumbnail; empty if the key is not a valid snapshot key.

    Deletion uses this list, so an event with a foreign key deletes nothing.
    """
    if not is_snapshot_key(key):
        return ()
    return (snapshot_object_key(device_id, key), thumbnail_object_key(device_id, key))
