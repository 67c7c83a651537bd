"""The pictures behind events: the annotated snapshot, its thumbnail, and a signed URL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from cloud_functions.api.dependencies import Here, Resources
from cloud_functions.api.events.responses import SignedUrl
from cloud_functions.api.events.routes import EventRef, find_or_404
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import require
from cloud_functions.api.security.plate_access import is_protected, protected_problem
from cloud_functions.api.security.plate_read_policy import MayReadPlates
from cloud_functions.db.events.record import FlatEvent
from shared.clock import format_utc
from shared.storage_keys import CONTENT_TYPES, is_snapshot_key, snapshot_object_key, thumbnail_object_key

router = APIRouter(prefix="/events", tags=["Pictures"], route_class=StrictRoute)
_MAY_READ = Depends(require("snapshots:read"))

PENDING_FOR = timedelta(days=2)
"""How long after an event was stored its picture is said to be on its way: devices hold pictures back while offline."""
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture's bytes.", "content": dict.fromkeys(CONTENT_TYPES.values(), _BYTES)},
    304: {"description": "`If-None-Match` names the picture's `ETag`: the client has it already."},
    403: {
        "description": "The event's plate is protected, and its picture would tell it "
        "(`urn:vedette:problem:plates-protected`).",
        "content": _PROBLEM,
    },
    307: {"description": "The picture is too large for this answer: get it from the signed URL in `Location`."},
    404: {
        "description": "No such event; or it has no picture (`urn:vedette:problem:no-snapshot`); or the picture has "
        "not arrived yet (`…:snapshot-pending`, with `Retry-After`); or it is gone (`…:snapshot-gone`).",
        "content": _PROBLEM,
    },
}


@router.get(
    "/{event}/snapshot",
    name="event_snapshot",
    dependencies=[_MAY_READ],
    summary="The picture",
    responses=_ANSWERS,
    response_class=Response,
)
async def snapshot(here: Here, ref: EventRef, may_read: MayReadPlates) -> Response:
    """The annotated picture as a download. An event may arrive before its picture: then ask again as told."""
    event = await _shown(here, ref, may_read=may_read)
    path = _path(event)
    return await _picture(here, event, snapshot_object_key(event.device_id, path), _filename(event, path))


@router.get(
    "/{event}/thumbnail",
    name="event_thumbnail",
    dependencies=[_MAY_READ],
    summary="The thumbnail",
    responses=_ANSWERS,
    response_class=Response,
)
async def thumbnail(here: Here, ref: EventRef, may_read: MayReadPlates) -> Response:
    """A small JPEG of the picture, as a download."""
    event = await _shown(here, ref, may_read=may_read)
    return await _picture(
        here, event, thumbnail_object_key(event.device_id, _path(event)), f"event_{event.id}_thumbnail.jpg"
    )


@router.get(
    "/{event}/snapshot-url",
    name="event_snapshot_url",
    dependencies=[_MAY_READ],
    summary="A signed URL of the picture",
    response_model=SignedUrl,
)
async def snapshot_url(here: Here, ref: EventRef, may_read: MayReadPlates) -> dict[str, Any]:
    """A URL that gives out the picture to whoever has it, for a while: for `<img>` tags and messages."""
    event = await _shown(here, ref, may_read=may_read)
    path = _path(event)
    key = snapshot_object_key(event.device_id, path)
    if not await here.workers.run(lambda: here.snapshots.exists(key)):
        raise _absent(here, event)
    expires_s = here.limits.signed_url_s
    return {
        "url": await _signed(here, key, _filename(event, path)),
        "expires_in": expires_s,
        "expires_at": format_utc(here.clock.now() + timedelta(seconds=expires_s)),
    }


async def _shown(here: Resources, ref: int | UUID, *, may_read: bool) -> FlatEvent:
    """Return the event, if its picture may be shown: of a protected plate's it would tell the plate."""
    event = await find_or_404(here, ref)
    if is_protected(event) and not may_read:
        raise protected_problem("see their pictures")
    return event


async def _picture(here: Resources, event: FlatEvent, key: str, filename: str) -> Response:
    image = await here.workers.run(lambda: here.snapshots.read(key, limit_bytes=here.limits.image_bytes))
    if image is None:
        raise _absent(here, event)
    if image.content is None:
        return RedirectResponse(await _signed(here, key, filename), 307, headers={"Cache-Control": "no-store"})
    headers = {
        "Content-Disposition": f'attachment; filename="{filename}"',
        "Cache-Control": "private, max-age=86400, immutable",
        "ETag": image.etag,
    }
    return Response(image.content, media_type=_content_type(filename), headers=headers)


async def _signed(here: Resources, key: str, filename: str) -> str:
    return await here.workers.run(
        lambda: here.snapshots.signed_url(
            key, filename=filename, content_type=_content_type(filename), expires_s=here.limits.signed_url_s
        )
    )


def _absent(here: Resources, event: FlatEvent) -> Problem:
    if here.clock.now() - event.created_at > PENDING_FOR:
        return Problem(404, "snapshot-gone", "The picture of this event is gone, or its device never sent it.")
    detail = "The picture of this event has not arrived from its device yet; ask again in a few seconds."
    return Problem(404, "snapshot-pending", detail, headers={"Retry-After": "5"})


def _path(event: FlatEvent) -> str:
    if event.snapshot_path is None or not is_snapshot_key(event.snapshot_path):  # an imported one may be of any shape
        raise Problem(404, "no-snapshot", "This event has no picture.")
    return event.snapshot_path


def _filename(event: FlatEvent, path: str) -> str:
    return f"event_{event.id}_snapshot.{path.rsplit('.', 1)[1]}"


def _content_type(filename: str) -> str:
    return CONTENT_TYPES[filename.rsplit(".", 1)[1]]
