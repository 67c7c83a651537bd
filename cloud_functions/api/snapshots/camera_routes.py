"""Routes of requested snapshots: metadata, image, thumbnail, lists and deletion."""

from __future__ import annotations

import base64
import logging
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.http.problems import Problem, on_hold, problem_description
from cloud_functions.api.http.responses import json_response, root_path
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.api.security.plate_access import protected_problem
from cloud_functions.api.security.plate_read_policy import MayReadPlates
from cloud_functions.api.snapshots.capture import existing_snapshot
from cloud_functions.api.snapshots.requests import (
    SnapshotListParameters,
    SnapshotPageParameters,
    SnapshotRef,
    SourceRef,
)
from cloud_functions.api.snapshots.responses import (
    IMAGE_RESPONSES,
    REQUESTED_IMAGE_RESPONSES,
    DeletedSnapshotResponse,
    SnapshotImageResponse,
    SnapshotListResponse,
    SnapshotResponse,
    snapshot_content,
    snapshot_page_content,
)
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.retention.protection import holds_of_snapshot
from cloud_functions.db.sites.settings import shows_protected_plates
from cloud_functions.db.snapshots.changes import delete_snapshot, image_path, mark_stored
from cloud_functions.db.snapshots.expired import remove_expired_snapshots
from cloud_functions.db.snapshots.queries import (
    SnapshotFilter,
    SnapshotPage,
    SnapshotSource,
    latest_snapshot,
    list_snapshots,
    resolve_source,
)
from cloud_functions.db.snapshots.record import CameraSnapshot
from cloud_functions.db.types import Connection
from cloud_functions.snapshot_store import StoredImage
from shared.errors import VedetteError
from shared.storage_keys import CONTENT_TYPES, image_object_keys

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/snapshots", tags=["Snapshots"], route_class=StrictRoute)
Reader = Annotated[Principal, Depends(require_in_scope("snapshots:read"))]
Deleter = Annotated[Principal, Depends(require_in_scope("snapshots:delete"))]
_IMAGE_CACHE: Final = "private, max-age=86400, immutable"
_VARY: Final = "Accept, Authorization, X-API-Key, Cookie"
"""The next user of a browser may not see the image."""
_THUMBNAIL_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: response for status, response in REQUESTED_IMAGE_RESPONSES.items() if status != 200
} | {200: IMAGE_RESPONSES[200]}


@router.get("", name="list_snapshots", response_model=SnapshotListResponse, summary="List snapshots")
async def get_snapshots(
    request: Request, caller: Reader, deps: Deps, params: Annotated[SnapshotListParameters, Query()]
) -> Response:
    """Requested snapshots that meet every condition, newest first."""

    def read(connection: Connection) -> SnapshotPage:
        source = None if params.device_id is None else resolve_source(connection, params.device_id, scope=caller.scope)
        return _page(connection, params, source, caller.scope)

    return _page_response(request, params, await deps.database.run(read))


@router.get(
    "/device/{device_id}",
    name="list_device_snapshots",
    response_model=SnapshotListResponse,
    summary="List a camera's snapshots",
)
async def get_device_snapshots(
    request: Request, caller: Reader, deps: Deps, ref: SourceRef, params: Annotated[SnapshotPageParameters, Query()]
) -> Response:
    """Requested snapshots of one camera, or of all cameras of a device, newest first."""

    def read(connection: Connection) -> SnapshotPage:
        return _page(connection, params, _known_source(connection, ref, caller.scope), caller.scope)

    page = await deps.database.run(read)
    return _page_response(request, params, page)


@router.get(
    "/device/{device_id}/latest",
    name="latest_snapshot",
    response_model=SnapshotResponse,
    summary="Get a camera's latest snapshot",
)
async def get_latest(request: Request, caller: Reader, deps: Deps, ref: SourceRef) -> Response:
    """The newest stored snapshot of a camera or device; 404 `no-snapshot` if there is none."""
    snapshot = await deps.database.run(
        lambda connection: latest_snapshot(connection, _known_source(connection, ref, caller.scope), scope=caller.scope)
    )
    if snapshot is None:
        raise Problem(404, "no-snapshot", "This camera has no stored snapshot. Capture one first.")
    return json_response(snapshot_content(snapshot, root_path=root_path(request)))


@router.get(
    "/{snapshot_id}",
    name="get_snapshot",
    response_model=SnapshotResponse,
    summary="Get a snapshot's metadata",
)
async def get_snapshot(request: Request, caller: Reader, deps: Deps, ref: SnapshotRef) -> Response:
    """The snapshot without its image: dimensions, file size, capture time, and whether the image is there."""
    snapshot = await _up_to_date(deps, await existing_snapshot(deps, ref, scope=caller.scope))
    return json_response(snapshot_content(snapshot, root_path=root_path(request)))


@router.get(
    "/{snapshot_id}/image",
    name="snapshot_image",
    responses=REQUESTED_IMAGE_RESPONSES,
    response_model=SnapshotImageResponse,
    summary="Get a snapshot's image",
)
async def get_image(
    request: Request, caller: Reader, deps: Deps, ref: SnapshotRef, may_read: MayReadPlates
) -> Response:
    """The snapshot with its image in base64 (`image_data`), or the image itself if `Accept` names an image type."""
    snapshot = await _visible(deps, ref, scope=caller.scope, may_read=may_read)
    key, content_type = snapshot.storage_path, snapshot.content_type
    if key is None or content_type is None:
        raise _no_image(snapshot)
    image = await _read(deps, snapshot, key)
    if _accepts_image(request):
        return await _image_response(deps, snapshot, image, key=key, content_type=content_type)
    if image.content is None:
        detail = "The image is too large for JSON. Request it with Accept: image/*."
        raise Problem(422, "answer-too-large", detail)
    content = snapshot_content(snapshot, root_path=root_path(request))
    response = json_response(content | {"image_data": base64.b64encode(image.content).decode("ascii")})
    response.headers.update({"ETag": f'"{image.etag.strip(chr(34))}-json"', "Vary": _VARY})
    return response


@router.get(
    "/{snapshot_id}/thumbnail",
    name="snapshot_thumbnail",
    responses=_THUMBNAIL_RESPONSES,
    response_class=Response,
    summary="Get a snapshot's thumbnail",
)
async def get_thumbnail(caller: Reader, deps: Deps, ref: SnapshotRef, may_read: MayReadPlates) -> Response:
    """A small JPEG version of the image."""
    snapshot = await _visible(deps, ref, scope=caller.scope, may_read=may_read)
    key = snapshot.thumbnail_path
    if key is None and snapshot.status == "stored":
        raise Problem(404, "no-snapshot", "This snapshot has no thumbnail.")
    if key is None:
        raise _no_image(snapshot)
    return await _image_response(
        deps, snapshot, await _read(deps, snapshot, key), key=key, content_type=CONTENT_TYPES["jpg"]
    )


@router.delete(
    "/{snapshot_id}",
    name="delete_snapshot",
    response_model=DeletedSnapshotResponse,
    responses={409: problem_description("A legal hold protects the snapshot (`urn:vedette:problem:on-hold`).")},
    summary="Delete a snapshot",
)
async def remove_snapshot(caller: Deleter, deps: Deps, ref: SnapshotRef) -> Response:
    """Delete the snapshot with its image and thumbnail. The event of the snapshot stays, without an image."""
    deleted = await deps.database.run(lambda connection: delete_snapshot(connection, ref, scope=caller.scope))
    if deleted is None:
        held = await existing_snapshot(deps, ref, scope=caller.scope)
        raise on_hold("snapshot", await deps.database.run(lambda connection: holds_of_snapshot(connection, held.id)))
    await _delete_image(deps, deleted)
    return json_response({"id": str(deleted.id), "message": f"Snapshot {deleted.id} deleted successfully"})


def _page(
    connection: Connection,
    params: SnapshotPageParameters,
    source: SnapshotSource | None,
    scope: CameraScope | None,
) -> SnapshotPage:
    conditions = SnapshotFilter(
        source=source,
        status=params.status,
        captured_from=params.start_time,
        captured_before=params.exclusive_end,
        scope=scope,
    )
    return list_snapshots(connection, conditions, limit=params.per_page, offset=params.offset)


def _page_response(request: Request, params: SnapshotPageParameters, page: SnapshotPage) -> Response:
    return json_response(
        snapshot_page_content(page, number=params.page, per_page=params.per_page, root_path=root_path(request))
    )


def _known_source(connection: Connection, ref: str, scope: CameraScope | None) -> SnapshotSource:
    source = resolve_source(connection, ref, scope=scope)
    if not source.is_known:
        raise Problem(404, "camera-not-found", "There is no camera with this id or slug, and no device with this id.")
    return source


async def _visible(deps: Dependencies, ref: UUID, *, scope: CameraScope | None, may_read: bool) -> CameraSnapshot:
    """Return the snapshot in the scope.

    Raises:
        Problem: 403, it may show protected plates, which the caller may not read; 404, there is no such snapshot.
    """
    snapshot = await _up_to_date(deps, await existing_snapshot(deps, ref, scope=scope))
    if not may_read and await deps.database.run(
        lambda connection: shows_protected_plates(
            connection,
            device_id=snapshot.device_id,
            camera_id=snapshot.camera_slug,
            at=snapshot.captured_at,
        )
    ):
        raise protected_problem("see the pictures of its cameras")
    return snapshot


async def _up_to_date(deps: Dependencies, snapshot: CameraSnapshot) -> CameraSnapshot:
    """Return the snapshot as stored if its image has arrived. The device uploads late after an outage of the bucket."""
    key = snapshot.storage_path
    if (
        snapshot.status != "pending"
        or key is None
        or not await deps.thread_pool.run(lambda: deps.snapshots.exists(key))
    ):
        return snapshot
    await deps.database.run(lambda connection: mark_stored(connection, snapshot))
    return await existing_snapshot(deps, snapshot.id)


async def _read(deps: Dependencies, snapshot: CameraSnapshot, key: str) -> StoredImage:
    image = await deps.thread_pool.run(lambda: deps.snapshots.read(key, limit_bytes=deps.limits.image_bytes))
    if image is None:
        raise _no_image(snapshot)
    return image


async def _image_response(
    deps: Dependencies, snapshot: CameraSnapshot, image: StoredImage, *, key: str, content_type: str
) -> Response:
    filename = key.rsplit("/", 1)[1]
    if image.content is None:
        url = await deps.thread_pool.run(
            lambda: deps.snapshots.signed_url(
                key, filename=filename, content_type=content_type, expires_s=deps.limits.signed_url_s
            )
        )
        return RedirectResponse(url, 307, headers={"Cache-Control": "no-store", "Vary": _VARY})
    headers = {
        "Content-Disposition": f'inline; filename="{snapshot.camera_slug}_{filename}"',
        "Cache-Control": _IMAGE_CACHE,
        "ETag": image.etag,
        "Vary": _VARY,
    }
    return Response(image.content, media_type=content_type, headers=headers)


def _no_image(snapshot: CameraSnapshot) -> Problem:
    """Return the 404 Problem that says why there is no image."""
    if snapshot.status == "failed":
        return Problem(404, "no-snapshot", f"The snapshot was not taken: {snapshot.error}")
    if snapshot.status == "pending":
        detail = "The device has not uploaded the image yet. Retry in a few seconds."
        return Problem(404, "snapshot-pending", detail, headers={"Retry-After": "5"})
    return Problem(404, "snapshot-gone", "The image of this snapshot was deleted.")


async def _delete_image(deps: Dependencies, snapshot: CameraSnapshot) -> None:
    """Delete the objects of a deleted snapshot. After a failure, or if they arrive later, maintenance deletes them."""
    path = image_path(snapshot)
    if path is None:
        return
    try:
        await deps.thread_pool.run(lambda: deps.snapshots.delete(image_object_keys(path.device_id, path.path)))
    except VedetteError as error:
        logger.warning("deleting the image of a snapshot failed; maintenance will retry: %s", error)
        return
    await deps.database.run(lambda connection: remove_expired_snapshots(connection, [path]))


def _accepts_image(request: Request) -> bool:
    """Return whether ``Accept`` names an image type. ``*/*`` alone means JSON, the documented form."""
    accepted = [part.strip().lower() for part in request.headers.get("accept", "").split(",")]
    return any(part.startswith("image/") for part in accepted) and "application/json" not in accepted
