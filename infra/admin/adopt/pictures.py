"""Copies the pictures of rows from a folder into the bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from cloud_functions.aws import aws_error
from infra.admin import stack
from infra.admin.adopt.image_header import ImageHeader, image_header
from infra.admin.adopt.mapped_row import MappedRow
from shared.clock import format_utc
from shared.errors import ConfigurationError
from shared.storage_keys import (
    CONTENT_TYPES,
    is_snapshot_key,
    snapshot_key,
    snapshot_key_matches,
    snapshot_object_key,
    thumbnail_object_key,
)

MAX_PICTURE_BYTES: Final = 64 * 1024 * 1024
_LETTERS: Final = str.maketrans("0123456789", "abcdefghij")


class Picture(NamedTuple):
    """A picture in the folder of the old system."""

    data: bytes
    header: ImageHeader


@dataclass(slots=True)
class PictureCounts:
    """What became of the pictures of this run."""

    copied: int = 0
    missing: int = 0
    """Files that do not exist, are no image, or are outside the folder."""


class Bucket:
    """The bucket of our snapshots."""

    def __init__(self, *, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store an object. Raises TransientError or PermanentError."""
        try:
            self._client.put_object(Bucket=self._name, Key=key, Body=data, ContentType=content_type)
        except Exception as error:
            raise aws_error(error, doing=f"storing a picture in the bucket {self._name}") from error


def open_bucket(variables: Mapping[str, str], *, state: Path | None) -> Bucket:
    """Return the bucket of a running one-machine stack, or the one that SNAPSHOT_BUCKET names."""
    client, name = stack.open_bucket(variables, state=state, needed_by="--snapshots")
    return Bucket(client=client, name=name)


class PictureCopier:
    """Finds the picture of a row, copies it and describes it as the snapshot of the event."""

    def __init__(self, *, folder: Path, bucket: Bucket) -> None:
        self._folder = folder.resolve()
        self._bucket = bucket
        self.counts = PictureCounts()
        if not self._folder.is_dir():
            raise ConfigurationError(f"{folder} is not a folder of pictures")

    def snapshot(self, row: MappedRow) -> dict[str, Any] | None:
        """Copy the first picture of the row that exists; return the event's ``snapshot``, or None without one."""
        if not row.pictures:
            return None
        path, picture = next(((path, found) for path in row.pictures if (found := self._find(path))), ("", None))
        if picture is None:
            self.counts.missing += 1
            return None
        key = _key(row, path, picture.header.extension)
        content_type = CONTENT_TYPES[picture.header.extension]
        device_id = str(row.wire["device_id"])
        self._bucket.put(snapshot_object_key(device_id, key), picture.data, content_type)
        small = _thumbnail(picture.data)
        if small is not None:
            self._bucket.put(thumbnail_object_key(device_id, key), small, CONTENT_TYPES["jpg"])
        self.counts.copied += 1
        return {
            "key": key,
            "content_type": content_type,
            "bytes": len(picture.data),
            "width": picture.header.width,
            "height": picture.header.height,
            "sha256": hashlib.sha256(picture.data).hexdigest(),
        }

    def _find(self, path: str) -> Picture | None:
        """Return the picture at a path of the old system: below the folder, with or without its leading parts."""
        parts = [part for part in PurePosixPath(path).parts if part != "/"]
        for skipped in range(len(parts)):
            try:
                file = self._folder.joinpath(*parts[skipped:]).resolve()
                if not file.is_relative_to(self._folder) or not file.is_file():
                    continue
                if file.stat().st_size > MAX_PICTURE_BYTES:
                    return None
                data = file.read_bytes()
            except (OSError, ValueError):
                continue
            header = image_header(data)
            return None if header is None else Picture(data, header)
        return None


def _key(row: MappedRow, path: str, extension: str) -> str:
    """Return the old path where it is a valid key of this event, else a new key, which no other row has."""
    camera_id, event_type = str(row.wire["camera_id"]), str(row.wire["event_type"])
    if (
        is_snapshot_key(path)
        and path.endswith(f".{extension}")
        and snapshot_key_matches(path, camera_id, format_utc(row.timestamp))
    ):
        return path
    mark = str(row.number) if row.number is not None else str(int(row.event_id.replace("-", ""), 16))[-20:]
    return snapshot_key(
        camera_id=camera_id,
        event_type=f"{event_type}_{mark.translate(_LETTERS)}",
        timestamp=row.timestamp,
        extension=extension,
    )


def _thumbnail(data: bytes) -> bytes | None:
    """Return a small JPEG of an image, or None where the image libraries of the edge agent are not installed."""
    try:
        import cv2
        import numpy as np

        from edge_agent.images.jpeg import thumbnail
    except ImportError:
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else thumbnail(image).data  # pyright: ignore[reportArgumentType]
