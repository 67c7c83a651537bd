"""Cameras and their groups."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final, TypedDict, Unpack, cast
from urllib.parse import quote

from vedette.client.paging import by_page
from vedette.client.session import Session
from vedette.client.types import (
    CameraRequest,
    CameraResponse,
    CamerasHealthResponse,
    GroupRequest,
    GroupResponse,
    ImportResponse,
    SummaryResponse,
)

PATH: Final = "/api/v1/cameras"


class CameraConditions(TypedDict, total=False):
    """Conditions that cameras meet, all of them."""

    active_only: bool
    group: str
    status: str
    search: str
    sort: str


class Cameras:
    """``client.cameras``. A camera is named by its id or its slug."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self, *, page_size: int = 100, **conditions: Unpack[CameraConditions]) -> Iterator[CameraResponse]:
        """Yield cameras, each with its current status."""
        return by_page(self._session, PATH, {**conditions, "page_size": page_size})

    def get(self, camera: str) -> CameraResponse:
        """Return one camera."""
        return self._session.json("GET", _path(camera))["data"]

    def get_with_version(self, camera: str) -> tuple[CameraResponse, str]:
        """Return a camera and its ``ETag``, with which ``replace`` refuses to undo another change."""
        with self._session.open("GET", _path(camera)) as response:
            response.read()
            return cast("CameraResponse", response.json()["data"]), response.headers["etag"]

    def create(self, camera: CameraRequest) -> CameraResponse:
        """Create a camera; ``name`` and ``rtsp_url`` are enough."""
        return self._session.json("POST", PATH, body=camera)["data"]

    def replace(self, camera: str, content: CameraRequest, *, version: str | None = None) -> CameraResponse:
        """Replace everything that can be set. Raises ConflictError if ``version`` is not the current one."""
        headers = {} if version is None else {"If-Match": version}
        return self._session.json("PUT", _path(camera), body=content, headers=headers)["data"]

    def set_state(
        self, camera: str, *, is_active: bool | None = None, enable_detection: bool | None = None
    ) -> CameraResponse:
        """Switch a camera, or only its detection, on or off."""
        given = {"is_active": is_active, "enable_detection": enable_detection}
        body = {name: value for name, value in given.items() if value is not None}
        return self._session.json("PATCH", f"{_path(camera)}/state", body=body)["data"]

    def delete(self, camera: str) -> None:
        """Delete a camera. Its events stay."""
        self._session.json("DELETE", _path(camera))

    def test_connection(self, camera: str, *, timeout_s: int = 10, check_credentials: bool = True) -> dict[str, Any]:
        """Let the camera's device connect to it; return ``success``, ``message`` and what it found."""
        body = {"timeout_seconds": timeout_s, "check_credentials": check_credentials}
        return self._session.json("POST", f"{_path(camera)}/test-connection", body=body)["data"]

    def health(self, camera: str, *, page_size: int = 100) -> Iterator[CamerasHealthResponse]:
        """Yield what the camera's agent reported, newest first."""
        return by_page(self._session, f"{_path(camera)}/health", {"page_size": page_size})

    def summary(self) -> SummaryResponse:
        """Return the numbers of cameras by status."""
        return self._session.json("GET", f"{PATH}/summary")["data"]

    def import_file(
        self, content: bytes, *, form: str = "csv", group_id: str | None = None, skip_duplicates: bool = False
    ) -> ImportResponse:
        """Create the cameras of a CSV or JSON file; the response reports each row."""
        body = {
            "format": form,
            "data": base64.b64encode(content).decode(),
            "group_id": group_id,
            "skip_duplicates": skip_duplicates,
        }
        return self._session.json("POST", f"{PATH}/import", body=body)["data"]

    def export_file(
        self, *, form: str = "csv", group_id: str | None = None, include_credentials: bool = False
    ) -> bytes:
        """Return cameras as a file that ``import_file`` reads. Credentials need a permission of their own."""
        parameters = {"format": form, "group_id": group_id, "include_credentials": include_credentials}
        with self._session.open("GET", f"{PATH}/export", parameters) as response:
            return response.read()

    def groups(self) -> Iterator[GroupResponse]:
        """Yield groups by name."""
        return by_page(self._session, f"{PATH}/groups", {})

    def create_group(self, group: GroupRequest) -> GroupResponse:
        """Create a group. Raises ConflictError if the name is in use."""
        return self._session.json("POST", f"{PATH}/groups", body=group)["data"]

    def get_group(self, group: str) -> GroupResponse:
        """Return one group, by its id or its slug."""
        return self._session.json("GET", f"{PATH}/groups/{quote(group, safe='')}")["data"]

    def replace_group(self, group: str, content: GroupRequest) -> GroupResponse:
        """Replace name, description and location of a group. Its slug stays."""
        return self._session.json("PUT", f"{PATH}/groups/{quote(group, safe='')}", body=content)["data"]

    def delete_group(self, group: str) -> None:
        """Delete a group. Its cameras stay, in no group."""
        self._session.json("DELETE", f"{PATH}/groups/{quote(group, safe='')}")


def _path(camera: str) -> str:
    return f"{PATH}/{quote(camera, safe='')}"
