"""Routes that capture a snapshot now: of one camera in two forms, and of all cameras of a group."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import Response

from cloud_functions.api.cameras.not_found import existing_camera, existing_group
from cloud_functions.api.cameras.requests import CameraRef, GroupRef
from cloud_functions.api.commands.ask import DEFAULT_TIMEOUT_S
from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import envelope_response, error_description
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.responses import json_response, root_path
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.api.snapshots.capture import (
    NOT_CAPTURED,
    NOT_CAPTURED_PROBLEMS,
    CaptureOptions,
    capture_all,
    capture_snapshot,
    request_snapshot,
)
from cloud_functions.api.snapshots.requests import CaptureRequest, SourceRef, Timeout, Wait
from cloud_functions.api.snapshots.responses import (
    GroupCaptureEnvelope,
    SnapshotEnvelope,
    SnapshotResponse,
    capture_counts,
    enveloped_snapshot,
    snapshot_content,
)
from cloud_functions.db.cameras.groups import find_group
from cloud_functions.db.cameras.queries import CameraFilter, find_camera, list_cameras
from cloud_functions.db.cameras.record import Camera
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.snapshots.queries import cameras_of_device
from cloud_functions.db.snapshots.record import CameraSnapshot
from cloud_functions.db.types import Connection

router = APIRouter(prefix="/snapshots", tags=["Snapshots"], route_class=StrictRoute)
camera_router = APIRouter(prefix="/cameras", tags=["Cameras"], route_class=StrictRoute)
Caller = Annotated[Principal, Depends(require_in_scope("cameras:read"))]

MAX_GROUP = 100
"""Maximum cameras of one group capture. Each one that waits takes a place among the server's requests."""
_NO_BODY = CaptureRequest()
_ACCEPTED = (
    "The device has the image, but could not upload it yet; it follows. Or the caller did not wait (`wait=false`)."
)
_NOT_CAPTURED_ENVELOPED: dict[int | str, dict[str, Any]] = {
    status: error_description(text) for status, text in NOT_CAPTURED.items()
}


@router.post(
    "/capture/{device_id}",
    name="capture_snapshot",
    response_model=SnapshotResponse,
    responses={202: {"description": _ACCEPTED, "model": SnapshotResponse}, **NOT_CAPTURED_PROBLEMS},
    summary="Capture a snapshot",
)
async def capture(
    request: Request,
    deps: Deps,
    caller: Caller,
    ref: SourceRef,
    *,
    wait: Wait = True,
    timeout_seconds: Timeout = DEFAULT_TIMEOUT_S,
) -> Response:
    """Capture a frame of the camera now, and return the snapshot once its image can be read.

    The path names a camera, or a device that has exactly one.
    """
    camera = await deps.database.run(lambda connection: _named_camera(connection, ref, caller.scope))
    options = _options(request, caller, CaptureRequest(timeout_seconds=timeout_seconds))
    action = capture_snapshot if wait else request_snapshot
    snapshot = await action(deps, camera, options)
    content = snapshot_content(snapshot, root_path=root_path(request))
    response = json_response(content, status=_status(snapshot))
    response.headers.update(_location(request, snapshot, waited=wait))
    return response


@camera_router.post(
    "/groups/{group}/snapshot",
    name="capture_group_snapshots",
    response_model=GroupCaptureEnvelope,
    summary="Capture snapshots of a group",
)
async def capture_group(
    request: Request,
    deps: Deps,
    caller: Caller,
    ref: GroupRef,
    body: Annotated[CaptureRequest | None, Body()] = None,
) -> Response:
    """Capture a frame of each active camera of the group, all at the same time.

    The response has the outcome of each camera: a camera that fails does not affect the others. `meta` counts them.
    """
    cameras = await deps.database.run(lambda connection: _cameras_of_group(connection, ref, caller.scope))
    options = _options(request, caller, body or _NO_BODY)
    results = await capture_all(deps, cameras, options, root_path=root_path(request))
    return envelope_response(results, meta=capture_counts(results))


@camera_router.post(
    "/{camera}/snapshot",
    name="capture_camera_snapshot",
    response_model=SnapshotEnvelope,
    responses={202: {"description": _ACCEPTED, "model": SnapshotEnvelope}, **_NOT_CAPTURED_ENVELOPED},
    summary="Capture a snapshot",
)
async def capture_of_camera(
    request: Request,
    deps: Deps,
    caller: Caller,
    ref: CameraRef,
    *,
    body: Annotated[CaptureRequest | None, Body()] = None,
    wait: Wait = True,
) -> Response:
    """Capture a frame of the camera now, and return the snapshot once its image can be read."""
    found = await deps.database.run(lambda connection: find_camera(connection, ref, scope=caller.scope))
    action = capture_snapshot if wait else request_snapshot
    snapshot = await action(deps, existing_camera(found), _options(request, caller, body or _NO_BODY))
    content = enveloped_snapshot(snapshot, root_path=root_path(request))
    return envelope_response(content, status=_status(snapshot), headers=_location(request, snapshot, waited=wait))


def _options(request: Request, caller: Principal, given: CaptureRequest) -> CaptureOptions:
    return CaptureOptions(
        timeout_s=given.timeout_seconds,
        thumbnail=given.save_thumbnail,
        requested_by=caller.name,
        is_abandoned=request.is_disconnected,
    )


def _named_camera(connection: Connection, ref: str, scope: CameraScope | None) -> Camera:
    """Return the camera with this id or slug, or the only camera of the device with this id."""
    camera = find_camera(connection, ref, scope=scope)
    if camera is not None:
        return camera
    slugs = cameras_of_device(connection, ref, scope=scope)
    if len(slugs) > 1:
        raise Problem(409, "several-cameras", "This device has several cameras. Name the camera instead of the device.")
    return existing_camera(find_camera(connection, slugs[0], scope=scope) if slugs else None)


def _cameras_of_group(connection: Connection, ref: str, scope: CameraScope | None) -> list[Camera]:
    group = existing_group(find_group(connection, ref, scope=scope))
    conditions = CameraFilter(group=group.slug, active_only=True, scope=scope)
    cameras, total = list_cameras(connection, conditions, limit=MAX_GROUP)
    if total > MAX_GROUP:
        detail = f"The group has {total} active cameras; one request captures {MAX_GROUP} at most."
        raise Problem(422, "group-too-large", detail)
    return cameras


def _status(snapshot: CameraSnapshot) -> int:
    return 200 if snapshot.status == "stored" else 202


def _location(request: Request, snapshot: CameraSnapshot, *, waited: bool) -> dict[str, str]:
    """Return where the client finds the image, or the reply, that a 202 promises."""
    if snapshot.status == "stored":
        return {}
    path = f"/api/snapshots/{snapshot.id}" if waited else f"/api/v1/commands/{snapshot.command_id}"
    return {"Location": f"{root_path(request)}{path}"}
