"""Routes for the images of events: the annotated snapshot, its thumbnail and a signed URL."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.events.routes import EventRef, get_event_or_404
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.api.security.plate_access import is_protected, protected_problem
from cloud_functions.api.security.plate_read_policy import MayReadPlates
from cloud_functions.api.snapshots.responses import IMAGE_RESPONSES, SignedUrlResponse
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.events.record import FlatEvent
from cloud_functions.db.sites.settings import shows_protected_plates
from cloud_functions.db.snapshots.expired import is_expired
from cloud_functions.db.snapshots.references import SnapshotPath
from cloud_functions.db.types import Connection
from shared.clock import format_utc
from shared.storage_keys import CONTENT_TYPES, is_snapshot_key, snapshot_object_key, thumbnail_object_key

router = APIRouter(prefix="/events", tags=["Pictures"], route_class=StrictRoute)
Reader = Annotated[Principal, Depends(require_in_scope("snapshots:read"))]

PENDING_PERIOD: Final = timedelta(days=2)
"""Time after an event was stored during which a missing snapshot is pending. Devices that are offline upload later."""


@router.get(
    "/{event}/snapshot",
    name="event_snapshot",
    summary="Get the snapshot",
    responses=IMAGE_RESPONSES,
    response_class=Response,
)
async def event_snapshot(caller: Reader, deps: Deps, ref: EventRef, may_read: MayReadPlates) -> Response:
    """The annotated snapshot as a download. An event can arrive before its snapshot: retry after `Retry-After`."""
    event = await _event_with_visible_snapshot(deps, ref, scope=caller.scope, may_read=may_read)
    path = _snapshot_path(event)
    return await _image(deps, event, snapshot_object_key(event.device_id, path), _filename(event, path))


@router.get(
    "/{event}/thumbnail",
    name="event_thumbnail",
    summary="Get the thumbnail",
    responses=IMAGE_RESPONSES,
    response_class=Response,
)
async def event_thumbnail(caller: Reader, deps: Deps, ref: EventRef, may_read: MayReadPlates) -> Response:
    """A small JPEG version of the snapshot as a download."""
    event = await _event_with_visible_snapshot(deps, ref, scope=caller.scope, may_read=may_read)
    key = thumbnail_object_key(event.device_id, _snapshot_path(event))
    return await _image(deps, event, key, f"event_{event.id}_thumbnail.jpg")


@router.get(
    "/{event}/snapshot-url",
    name="event_snapshot_url",
    summary="Get a signed URL of the snapshot",
    response_model=SignedUrlResponse,
)
async def event_snapshot_url(caller: Reader, deps: Deps, ref: EventRef, may_read: MayReadPlates) -> dict[str, Any]:
    """A signed URL that gives access to the snapshot until it expires, for `<img>` tags and messages."""
    event = await _event_with_visible_snapshot(deps, ref, scope=caller.scope, may_read=may_read)
    path = _snapshot_path(event)
    key = snapshot_object_key(event.device_id, path)
    if not await deps.thread_pool.run(lambda: deps.snapshots.exists(key)):
        raise _missing_image(deps, event)
    expires_s = deps.limits.signed_url_s
    return {
        "url": await _signed_url(deps, key, _filename(event, path)),
        "expires_in": expires_s,
        "expires_at": format_utc(deps.clock.now() + timedelta(seconds=expires_s)),
    }


async def _event_with_visible_snapshot(
    deps: Dependencies, ref: int | UUID, *, scope: CameraScope | None, may_read: bool
) -> FlatEvent:
    """Return the event in the scope.

    Raises:
        Problem: 403, its snapshot shows a protected plate that the caller may not read; 404, there is no such event.
    """
    event = await get_event_or_404(deps, ref, scope=scope)
    if is_protected(event) and not may_read:
        raise protected_problem("see their snapshots")
    if event.event_type == "snapshot":
        await _check_requested(deps, event, may_read=may_read)
    return event


async def _check_requested(deps: Dependencies, event: FlatEvent, *, may_read: bool) -> None:
    """Raise the Problem of a requested snapshot that the caller may not see, or that was deleted."""

    def read(connection: Connection) -> tuple[bool, bool]:
        at = event.timestamp
        is_shown = not may_read and shows_protected_plates(
            connection, device_id=event.device_id, camera_id=event.camera_id, at=at
        )
        path = event.snapshot_path
        return is_shown, path is not None and is_expired(connection, SnapshotPath(event.device_id, path))

    shows_plates, is_deleted = await deps.database.run(read)
    if shows_plates:
        raise protected_problem("see the pictures of its cameras")
    if is_deleted:
        raise _gone()


async def _image(deps: Dependencies, event: FlatEvent, key: str, filename: str) -> Response:
    image = await deps.thread_pool.run(lambda: deps.snapshots.read(key, limit_bytes=deps.limits.image_bytes))
    if image is None:
        raise _missing_image(deps, event)
    if image.content is None:
        return RedirectResponse(await _signed_url(deps, key, filename), 307, headers={"Cache-Control": "no-store"})
    headers = {
        "Content-Disposition": f'attachment; filename="{filename}"',
        "Cache-Control": "private, max-age=86400, immutable",
        "Vary": "Authorization, X-API-Key, Cookie",  # the next user of a browser may not see this image
        "ETag": image.etag,
    }
    return Response(image.content, media_type=_content_type(filename), headers=headers)


async def _signed_url(deps: Dependencies, key: str, filename: str) -> str:
    return await deps.thread_pool.run(
        lambda: deps.snapshots.signed_url(
            key, filename=filename, content_type=_content_type(filename), expires_s=deps.limits.signed_url_s
        )
    )


def _missing_image(deps: Dependencies, event: FlatEvent) -> Problem:
    if deps.clock.now() - event.created_at > PENDING_PERIOD:
        return _gone()
    detail = "The device has not uploaded the snapshot of this event yet. Retry in a few seconds."
    return Problem(404, "snapshot-pending", detail, headers={"Retry-After": "5"})


def _gone() -> Problem:
    return Problem(404, "snapshot-gone", "The snapshot of this event was deleted, or its device never uploaded it.")


def _snapshot_path(event: FlatEvent) -> str:
    if event.snapshot_path is None or not is_snapshot_key(event.snapshot_path):  # imported events may hold other keys
        raise Problem(404, "no-snapshot", "This event has no snapshot.")
    return event.snapshot_path


def _filename(event: FlatEvent, path: str) -> str:
    return f"event_{event.id}_snapshot.{path.rsplit('.', 1)[1]}"


def _content_type(filename: str) -> str:
    return CONTENT_TYPES[filename.rsplit(".", 1)[1]]
