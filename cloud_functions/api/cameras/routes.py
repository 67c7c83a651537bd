"""Routes of cameras: list, create, read, replace, delete, switch on and off, summary."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from cloud_functions.api.cameras.configuration import send_configurations
from cloud_functions.api.cameras.logins import new_fields, replaced_fields, unknown_group
from cloud_functions.api.cameras.requests import (
    CameraListParameters,
    CameraRef,
    CameraRequest,
    CameraStateRequest,
    HealthParameters,
)
from cloud_functions.api.cameras.responses import (
    CameraEnvelope,
    CameraListEnvelope,
    DeletedCameraEnvelope,
    HealthListEnvelope,
    SummaryEnvelope,
    camera_content,
    health_content,
    summary_content,
)
from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import envelope_response, error_description, page_meta
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.http.versions import IfMatch, IfMatchHeader, entity_tag
from cloud_functions.api.security.permissions import require
from cloud_functions.db.cameras.changes import (
    SlugTakenError,
    UnknownGroupError,
    create_camera,
    delete_camera,
    lock_camera,
    replace_camera,
    set_state,
)
from cloud_functions.db.cameras.health import HealthRecord, list_health
from cloud_functions.db.cameras.queries import count_by_group, find_camera, list_cameras
from cloud_functions.db.cameras.record import Camera
from cloud_functions.db.types import Connection
from shared.cameras import slug_of
from shared.ids import Uuid7Generator

router = APIRouter(prefix="/cameras", tags=["Cameras"], route_class=StrictRoute)
_READ = Depends(require("cameras:read"))
_WRITE = Depends(require("cameras:write"))
_new_id = Uuid7Generator()

_CHANGED: dict[int | str, dict[str, Any]] = {
    412: error_description("The camera was changed since the version in `If-Match` (`changed-meanwhile`)."),
}
_NO_KEY: dict[int | str, dict[str, Any]] = {
    409: error_description("The slug is in use (`slug-taken`), or a password cannot be stored (`no-password-key`)."),
}


@router.get("", name="list_cameras", response_model=CameraListEnvelope, dependencies=[_READ], summary="List cameras")
async def get_cameras(deps: Deps, params: Annotated[CameraListParameters, Query()]) -> Response:
    """One page of the cameras that meet every condition, each with its current status."""
    cameras, total = await deps.database.run(
        lambda connection: list_cameras(
            connection, params.camera_filter(), sort=params.sort, limit=params.page_size, offset=params.offset
        )
    )
    meta = page_meta(page=params.page, page_size=params.page_size, total=total)
    return envelope_response([camera_content(camera) for camera in cameras], meta=meta)


@router.post(
    "",
    name="create_camera",
    status_code=201,
    response_model=CameraEnvelope,
    responses=_NO_KEY,
    dependencies=[_WRITE],
    summary="Create a camera",
)
async def post_camera(deps: Deps, body: Annotated[CameraRequest, Body()]) -> Response:
    """Create a camera. Its slug is made from its name, unless the request gives one that is free (409 otherwise).

    A login in `rtsp_url` is taken out; the password is stored sealed and never returned.
    """

    def write(connection: Connection) -> Camera:
        camera_id = _new_id()
        fields = new_fields(deps, connection, body, camera_id=camera_id)
        try:
            create_camera(
                connection, camera_id, fields, slug=body.slug or slug_of(body.name), exact=body.slug is not None
            )
        except SlugTakenError:
            raise Problem(409, "slug-taken", "Another camera has this slug. Choose another one.") from None
        except UnknownGroupError:
            raise unknown_group() from None
        return _existing(find_camera(connection, str(camera_id)))

    camera = await deps.database.run(write)
    await send_configurations(deps, [camera.fields.device_id])
    return _camera_response(camera, status=201)


@router.get(
    "/summary", name="camera_summary", response_model=SummaryEnvelope, dependencies=[_READ], summary="Count cameras"
)
async def get_summary(deps: Deps) -> Response:
    """Numbers of cameras by status, in total and for each group."""
    return envelope_response(summary_content(await deps.database.run(count_by_group)))


@router.get("/{camera}", name="get_camera", response_model=CameraEnvelope, dependencies=[_READ], summary="Get a camera")
async def get_camera(deps: Deps, ref: CameraRef) -> Response:
    """The camera with this id or slug. The response has an `ETag`, for `If-Match`."""
    return _camera_response(_existing(await deps.database.run(lambda connection: find_camera(connection, ref))))


@router.put(
    "/{camera}",
    name="replace_camera",
    response_model=CameraEnvelope,
    responses=_NO_KEY | _CHANGED,
    dependencies=[_WRITE],
    summary="Replace a camera",
)
async def put_camera(
    deps: Deps, ref: CameraRef, if_match: IfMatchHeader, body: Annotated[CameraRequest, Body()]
) -> Response:
    """Replace everything that can be set. Omitted fields get their defaults, but an omitted password is kept.

    With `If-Match`, only the version that it names is replaced, so that two people do not overwrite each other's
    changes. Without it, any version is replaced.
    """

    def write(connection: Connection) -> tuple[Camera, Camera]:
        stored = _locked(connection, ref, if_match)
        if body.slug not in (None, stored.slug):
            raise invalid_parameter("slug", "cannot be changed: events refer to it", location="body")
        fields = replaced_fields(deps, connection, body, camera_id=stored.id, stored=stored.fields)
        try:
            replace_camera(connection, stored.id, fields)
        except UnknownGroupError:
            raise unknown_group() from None
        return stored, _existing(find_camera(connection, str(stored.id)))

    before, camera = await deps.database.run(write)
    await send_configurations(deps, [before.fields.device_id, camera.fields.device_id])
    return _camera_response(camera)


@router.delete(
    "/{camera}",
    name="delete_camera",
    response_model=DeletedCameraEnvelope,
    responses=_CHANGED,
    dependencies=[_WRITE],
    summary="Delete a camera",
)
async def remove_camera(deps: Deps, ref: CameraRef, if_match: IfMatchHeader) -> Response:
    """Delete the camera and its health history. Its events and their snapshots stay."""

    def write(connection: Connection) -> Camera:
        stored = _locked(connection, ref, if_match)
        delete_camera(connection, stored.id)
        return stored

    deleted = await deps.database.run(write)
    await send_configurations(deps, [deleted.fields.device_id])
    return envelope_response({"id": str(deleted.id), "message": f"Camera {deleted.slug} deleted. Its events stay."})


@router.patch(
    "/{camera}/state",
    name="change_camera_state",
    response_model=CameraEnvelope,
    responses=_CHANGED,
    dependencies=[_WRITE],
    summary="Switch a camera on or off",
)
async def patch_state(
    deps: Deps, ref: CameraRef, if_match: IfMatchHeader, body: Annotated[CameraStateRequest, Body()]
) -> Response:
    """Switch the camera, or only its detection, on or off. Nothing else changes."""

    def write(connection: Connection) -> Camera:
        stored = _locked(connection, ref, if_match)
        set_state(connection, stored.id, is_active=body.is_active, enable_detection=body.enable_detection)
        return _existing(find_camera(connection, str(stored.id)))

    camera = await deps.database.run(write)
    await send_configurations(deps, [camera.fields.device_id])
    return _camera_response(camera)


@router.get(
    "/{camera}/health",
    name="camera_health",
    response_model=HealthListEnvelope,
    dependencies=[_READ],
    summary="List a camera's health",
)
async def get_health(deps: Deps, ref: CameraRef, params: Annotated[HealthParameters, Query()]) -> Response:
    """What the camera's agent reported, newest first: once a minute, and at each change of its status.

    Records are kept for 30 days.
    """

    def read(connection: Connection) -> tuple[list[HealthRecord], int]:
        camera = _existing(find_camera(connection, ref))
        return list_health(connection, camera.id, limit=params.page_size, offset=params.offset)

    records, total = await deps.database.run(read)
    meta = page_meta(page=params.page, page_size=params.page_size, total=total)
    return envelope_response([health_content(record) for record in records], meta=meta)


def _locked(connection: Connection, ref: str, if_match: IfMatch) -> Camera:
    """Return the camera, locked for this transaction; raise the 404 or 412 Problem."""
    locked = lock_camera(connection, ref)
    if locked is None:
        raise _camera_not_found()
    if_match.require(locked.version)
    return _existing(find_camera(connection, str(locked.id)))


def _camera_response(camera: Camera, *, status: int = 200) -> Response:
    content = camera_content(camera)
    return envelope_response(content, status=status, headers={"ETag": entity_tag(camera.config_version, content)})


def _existing(camera: Camera | None) -> Camera:
    if camera is None:
        raise _camera_not_found()
    return camera


def _camera_not_found() -> Problem:
    return Problem(404, "camera-not-found", "There is no camera with this id or slug.")
