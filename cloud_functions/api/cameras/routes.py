"""Routes of cameras: list, create, read, replace, delete, switch on and off, summary."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from cloud_functions.api.cameras.configuration import send_configurations
from cloud_functions.api.cameras.logins import new_fields, replaced_fields, unknown_group
from cloud_functions.api.cameras.not_found import camera_not_found, existing_camera
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
from cloud_functions.api.http.envelope import envelope_response, error_description, page_response
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.http.versions import IfMatch, IfMatchHeader, entity_tag
from cloud_functions.api.security.permissions import Principal, require_in_scope
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
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.types import Connection
from shared.cameras import slug_of
from shared.ids import Uuid7Generator

router = APIRouter(prefix="/cameras", tags=["Cameras"], route_class=StrictRoute)
Reader = Annotated[Principal, Depends(require_in_scope("cameras:read"))]
Writer = Annotated[Principal, Depends(require_in_scope("cameras:write"))]
_new_id = Uuid7Generator()

_CHANGED: dict[int | str, dict[str, Any]] = {
    412: error_description("The camera was changed since the version in `If-Match` (`changed-meanwhile`)."),
}
_NO_KEY: dict[int | str, dict[str, Any]] = {
    409: error_description("The slug is in use (`slug-taken`), or a password cannot be stored (`no-password-key`)."),
}


@router.get("", name="list_cameras", response_model=CameraListEnvelope, summary="List cameras")
async def get_cameras(caller: Reader, deps: Deps, params: Annotated[CameraListParameters, Query()]) -> Response:
    """One page of the cameras that meet every condition, each with its current status."""
    cameras, total = await deps.database.run(
        lambda connection: list_cameras(
            connection,
            params.camera_filter(scope=caller.scope),
            sort=params.sort,
            limit=params.page_size,
            offset=params.offset,
        )
    )
    return page_response([camera_content(camera) for camera in cameras], page=params, total=total)


@router.post(
    "",
    name="create_camera",
    status_code=201,
    response_model=CameraEnvelope,
    responses=_NO_KEY,
    summary="Create a camera",
)
async def post_camera(caller: Writer, deps: Deps, body: Annotated[CameraRequest, Body()]) -> Response:
    """Create a camera. Its slug is made from its name, unless the request gives one that is free (409 otherwise).

    A login in `rtsp_url` is taken out; the password is stored sealed and never returned.
    """

    def write(connection: Connection) -> Camera:
        camera_id = _new_id()
        fields = new_fields(deps, connection, body, camera_id=camera_id, scope=caller.scope)
        try:
            create_camera(
                connection,
                camera_id,
                fields,
                slug=body.slug or slug_of(body.name),
                exact=body.slug is not None,
                scope=caller.scope,
            )
        except SlugTakenError:
            raise Problem(409, "slug-taken", "Another camera has this slug. Choose another one.") from None
        except UnknownGroupError:
            raise unknown_group() from None
        return existing_camera(find_camera(connection, str(camera_id), scope=caller.scope))

    camera = await deps.database.run(write)
    await send_configurations(deps, [camera.fields.device_id])
    return _camera_response(camera, status=201)


@router.get("/summary", name="camera_summary", response_model=SummaryEnvelope, summary="Count cameras")
async def get_summary(caller: Reader, deps: Deps) -> Response:
    """Numbers of cameras by status, in total and for each group."""
    groups = await deps.database.run(lambda connection: count_by_group(connection, scope=caller.scope))
    return envelope_response(summary_content(groups))


@router.get("/{camera}", name="get_camera", response_model=CameraEnvelope, summary="Get a camera")
async def get_camera(caller: Reader, deps: Deps, ref: CameraRef) -> Response:
    """The camera with this id or slug. The response has an `ETag`, for `If-Match`."""
    found = await deps.database.run(lambda connection: find_camera(connection, ref, scope=caller.scope))
    return _camera_response(existing_camera(found))


@router.put(
    "/{camera}",
    name="replace_camera",
    response_model=CameraEnvelope,
    responses=_NO_KEY | _CHANGED,
    summary="Replace a camera",
)
async def put_camera(
    caller: Writer, deps: Deps, ref: CameraRef, if_match: IfMatchHeader, body: Annotated[CameraRequest, Body()]
) -> Response:
    """Replace everything that can be set. Omitted fields get their defaults, but an omitted password is kept.

    With `If-Match`, only the version that it names is replaced, so that two people do not overwrite each other's
    changes. Without it, any version is replaced.
    """

    def write(connection: Connection) -> tuple[Camera, Camera]:
        stored = _locked(connection, ref, if_match, caller.scope)
        if body.slug not in (None, stored.slug):
            raise invalid_parameter("slug", "cannot be changed: events refer to it", location="body")
        fields = replaced_fields(deps, connection, body, camera_id=stored.id, stored=stored.fields, scope=caller.scope)
        try:
            replace_camera(connection, stored.id, fields)
        except UnknownGroupError:
            raise unknown_group() from None
        return stored, existing_camera(find_camera(connection, str(stored.id), scope=caller.scope))

    before, camera = await deps.database.run(write)
    await send_configurations(deps, [before.fields.device_id, camera.fields.device_id])
    return _camera_response(camera)


@router.delete(
    "/{camera}",
    name="delete_camera",
    response_model=DeletedCameraEnvelope,
    responses=_CHANGED,
    summary="Delete a camera",
)
async def remove_camera(caller: Writer, deps: Deps, ref: CameraRef, if_match: IfMatchHeader) -> Response:
    """Delete the camera and its health history. Its events and its snapshots stay."""

    def write(connection: Connection) -> Camera:
        stored = _locked(connection, ref, if_match, caller.scope)
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
    summary="Switch a camera on or off",
)
async def patch_state(
    caller: Writer, deps: Deps, ref: CameraRef, if_match: IfMatchHeader, body: Annotated[CameraStateRequest, Body()]
) -> Response:
    """Switch the camera, or only its detection, on or off. Nothing else changes."""

    def write(connection: Connection) -> Camera:
        stored = _locked(connection, ref, if_match, caller.scope)
        set_state(connection, stored.id, is_active=body.is_active, enable_detection=body.enable_detection)
        return existing_camera(find_camera(connection, str(stored.id), scope=caller.scope))

    camera = await deps.database.run(write)
    await send_configurations(deps, [camera.fields.device_id])
    return _camera_response(camera)


@router.get(
    "/{camera}/health",
    name="camera_health",
    response_model=HealthListEnvelope,
    summary="List a camera's health",
)
async def get_health(
    caller: Reader, deps: Deps, ref: CameraRef, params: Annotated[HealthParameters, Query()]
) -> Response:
    """What the camera's agent reported, newest first: once a minute, and at each change of its status.

    Records are kept for 30 days.
    """

    def read(connection: Connection) -> tuple[list[HealthRecord], int]:
        camera = existing_camera(find_camera(connection, ref, scope=caller.scope))
        return list_health(connection, camera.id, limit=params.page_size, offset=params.offset)

    records, total = await deps.database.run(read)
    return page_response([health_content(record) for record in records], page=params, total=total)


def _locked(connection: Connection, ref: str, if_match: IfMatch, scope: CameraScope | None) -> Camera:
    """Return the camera, locked for this transaction; raise the 404 or 412 Problem."""
    locked = lock_camera(connection, ref, scope=scope)
    if locked is None:
        raise camera_not_found()
    if_match.require(locked.version)
    return existing_camera(find_camera(connection, str(locked.id)))


def _camera_response(camera: Camera, *, status: int = 200) -> Response:
    content = camera_content(camera)
    return envelope_response(content, status=status, headers={"ETag": entity_tag(camera.config_version, content)})
