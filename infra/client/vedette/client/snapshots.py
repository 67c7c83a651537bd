"""Snapshots on demand: capture one now, list what was captured, get the images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypedDict, Unpack
from urllib.parse import quote

from vedette.client.downloads import Progress, download
from vedette.client.events import Time
from vedette.client.paging import by_number
from vedette.client.session import Session
from vedette.client.types import CaptureResult, EnvelopedSnapshot, SnapshotResponse

PATH: Final = "/api/snapshots"
_CAMERAS: Final = "/api/v1/cameras"
_AS_IMAGE: Final = {"Accept": "image/*"}


class SnapshotConditions(TypedDict, total=False):
    """Conditions that snapshots meet, all of them."""

    status: str
    """``pending``, ``stored`` or ``failed``."""
    start_time: Time
    end_time: Time


class Snapshots:
    """``client.snapshots``. A camera is named by its id or slug, or by the id of a device that has no other."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def capture(self, camera: str, *, timeout_s: float = 10, save_thumbnail: bool | None = None) -> EnvelopedSnapshot:
        """Let the camera's device capture a frame now; return the snapshot once its image can be read.

        Raises ConflictError if the device is offline, and UnavailableError if it does not answer within ``timeout_s``.
        """
        body = {"timeout_seconds": timeout_s, "save_thumbnail": save_thumbnail}
        return self._session.json("POST", f"{_CAMERAS}/{quote(camera, safe='')}/snapshot", body=body)["data"]

    def capture_group(self, group: str, *, timeout_s: float = 10) -> list[CaptureResult]:
        """Capture a frame of each active camera of a group at the same time; return the outcome of each."""
        path = f"{_CAMERAS}/groups/{quote(group, safe='')}/snapshot"
        return self._session.json("POST", path, body={"timeout_seconds": timeout_s})["data"]

    def list(
        self, camera: str | None = None, *, page_size: int = 100, **conditions: Unpack[SnapshotConditions]
    ) -> Iterator[SnapshotResponse]:
        """Yield snapshots, newest first, of one camera or of all."""
        parameters = {**conditions, "device_id": camera, "per_page": page_size}
        return by_number(self._session, PATH, "snapshots", parameters)

    def latest(self, camera: str) -> SnapshotResponse:
        """Return the newest stored snapshot of a camera."""
        return self._session.json("GET", f"{PATH}/device/{quote(camera, safe='')}/latest")

    def get(self, snapshot_id: str) -> SnapshotResponse:
        """Return a snapshot without its image."""
        return self._session.json("GET", f"{PATH}/{snapshot_id}")

    def image(self, snapshot_id: str) -> bytes:
        """Return the image."""
        with self._session.open("GET", f"{PATH}/{snapshot_id}/image", headers=_AS_IMAGE) as response:
            return response.read()

    def thumbnail(self, snapshot_id: str) -> bytes:
        """Return a small JPEG of the image."""
        with self._session.open("GET", f"{PATH}/{snapshot_id}/thumbnail") as response:
            return response.read()

    def download(self, snapshot_id: str, file: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
        """Write the image to a file."""
        return download(self._session, f"{PATH}/{snapshot_id}/image", file, progress, headers=_AS_IMAGE)

    def delete(self, snapshot_id: str) -> None:
        """Delete a snapshot with its image."""
        self._session.json("DELETE", f"{PATH}/{snapshot_id}")
