"""Creates the cameras of a file, row by row, and reports on each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal

from cloud_functions.api.cameras.camera_file import ImportRow
from cloud_functions.api.cameras.logins import new_fields, unknown_group
from cloud_functions.api.cameras.requests import CameraRequest, ImportRequest
from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.problems import FieldError, Problem
from cloud_functions.db.cameras.changes import SlugTakenError, UnknownGroupError, create_camera
from cloud_functions.db.cameras.imports import KnownCameras, lock_and_load_cameras
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.devices.configurations import default_device, lock_configurations
from cloud_functions.db.types import Connection
from shared.cameras import free_slug, slug_of
from shared.ids import Uuid7Generator

MAX_REPORTED_ROWS: Final = 100
_new_id = Uuid7Generator()


@dataclass(frozen=True, slots=True)
class RowReport:
    """What became of one row."""

    row: int
    name: str | None
    status: Literal["created", "skipped", "failed"]
    id: str | None = None
    slug: str | None = None
    errors: tuple[FieldError, ...] = ()
    device_id: str | None = None
    """Of a camera that was created."""

    def content(self) -> dict[str, Any]:
        """Return the report in the form of ``RowResponse``."""
        return {
            "row": self.row,
            "name": self.name,
            "status": self.status,
            "id": self.id,
            "slug": self.slug,
            "errors": [dict(error) for error in self.errors],
        }


@dataclass(frozen=True, slots=True)
class _Import:
    """What each row of one import needs."""

    deps: Dependencies
    connection: Connection
    request: ImportRequest
    known: KnownCameras
    scope: CameraScope | None
    numbers: dict[str, int] = field(default_factory=dict[str, int])
    """The number of the last slug of each name: thousands of names in another script all become ``camera-N``."""


def import_rows(
    deps: Dependencies,
    connection: Connection,
    rows: Sequence[ImportRow],
    request: ImportRequest,
    *,
    scope: CameraScope | None,
) -> list[RowReport]:
    """Create the cameras of the rows. A row that fails does not keep the others from being created.

    Raises Problem, and so creates none: 422, if a row failed and the request asks for all or nothing; 403, if a camera
    would be outside of the scope.
    """
    run = _Import(deps, connection, request, lock_and_load_cameras(connection, scope=scope), scope)
    lock_configurations(connection, _devices(connection, rows))
    reports = [_import_row(run, row) for row in rows]
    failed = [report for report in reports if report.status == "failed"]
    if failed and request.all_or_nothing:
        raise _rejected(failed, len(rows))
    return reports


def _import_row(run: _Import, row: ImportRow) -> RowReport:
    if row.camera is None:
        return RowReport(row.number, row.name, "failed", errors=row.errors)
    camera = row.camera.model_copy(update={"group_id": row.group or run.request.group_id})
    if run.known.has(slug=camera.slug, name=camera.name, address=camera.login().address):
        if run.request.skip_duplicates:
            return RowReport(row.number, row.name, "skipped", slug=camera.slug)
        return _failed(row, "row", "is a camera that exists already: it has the same slug, name or address")
    try:
        return _create(run, row, camera)
    except Problem as problem:  # an unknown group, or no key for a password
        if problem.status == HTTPStatus.FORBIDDEN:
            raise
        errors = problem.errors or (FieldError(parameter="password", location="body", message=problem.detail),)
        return RowReport(row.number, row.name, "failed", errors=tuple(errors))


def _create(run: _Import, row: ImportRow, camera: CameraRequest) -> RowReport:
    camera_id = _new_id()
    fields = new_fields(run.deps, run.connection, camera, camera_id=camera_id, scope=run.scope)
    wanted = camera.slug or _free_slug(run, slug_of(camera.name))
    try:  # without the scope and exactly: ``known`` has all slugs that its cameras cannot have
        slug = create_camera(run.connection, camera_id, fields, slug=wanted, exact=True)
    except SlugTakenError:  # by a camera that was created since, past the lock
        return _failed(row, "slug", "another camera has this slug")
    except UnknownGroupError:
        raise unknown_group() from None
    run.known.add(slug=slug, name=camera.name, address=fields.rtsp_url)
    return RowReport(row.number, row.name, "created", id=str(camera_id), slug=slug, device_id=fields.device_id)


def _free_slug(run: _Import, slug: str) -> str:
    chosen = free_slug(slug, run.known.slugs.__contains__, first=run.numbers.get(slug, 1))
    run.numbers[slug] = 1 if chosen == slug else int(chosen.rpartition("-")[2])
    return chosen


def _devices(connection: Connection, rows: Sequence[ImportRow]) -> set[str]:
    """Return the devices whose cameras the rows may change."""
    devices = {row.camera.device_id for row in rows if row.camera is not None and row.camera.names_device}
    return {device for device in (*devices, default_device(connection)) if device is not None}


def _failed(row: ImportRow, parameter: str, message: str) -> RowReport:
    error = FieldError(parameter=parameter, location="body", message=message)
    return RowReport(row.number, row.name, "failed", errors=(error,))


def _rejected(failed: Sequence[RowReport], total: int) -> Problem:
    errors = [
        FieldError(parameter=f"rows.{report.row}.{error['parameter']}", location="body", message=error["message"])
        for report in failed[:MAX_REPORTED_ROWS]
        for error in report.errors
    ]
    detail = f"{len(failed)} of {total} rows cannot be imported, so no camera was created. Correct them, or leave"
    return Problem(422, "import-rejected", f"{detail} all_or_nothing out to import the others.", errors=errors)
