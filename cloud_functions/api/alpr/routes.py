"""Routes at the root path: the newest plate reads, one read, and the reads of a plate or a camera.

Each list is a JSON array, newest first, without a total. ``GET /plates`` has totals, cursors and inexact search.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from cloud_functions.api.alpr.requests import CameraParameters, PlateParameters, RecentParameters
from cloud_functions.api.alpr.responses import PlateRowResponse
from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.http.limits import fit_items
from cloud_functions.api.http.parameters import PlatePath, Segment, plate_in_path
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.responses import text_response
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.api.security.plate_read_policy import MayReadPlates
from cloud_functions.db.plates.alpr_rows import ImageAddresses, alpr_row, image_addresses
from cloud_functions.db.plates.queries import PlateFilter, find_plate, newest_plates
from cloud_functions.db.plates.record import PlateEvent
from cloud_functions.db.types import Connection

router = APIRouter(prefix="/events", tags=["Plates"], route_class=StrictRoute)
Reader = Annotated[Principal, Depends(require_in_scope("events:read"))]


class _Found(NamedTuple):
    reads: Sequence[PlateEvent]
    images: dict[str, ImageAddresses]


@router.get(
    "/recent",
    name="recent_plate_rows",
    response_model=list[PlateRowResponse],
    summary="List the newest plate reads",
)
async def recent_rows(
    caller: Reader,
    request: Request,
    deps: Deps,
    params: Annotated[RecentParameters, Query()],
    may_read: MayReadPlates,
) -> Response:
    """The newest plate reads of all cameras, under the column names of ALPR storage services."""
    return await _rows(request, deps, PlateFilter(scope=caller.scope), limit=params.limit, may_read=may_read)


@router.get(
    "/plate/{text}",
    name="plate_rows",
    response_model=list[PlateRowResponse],
    summary="List the reads of a plate",
)
async def plate_rows(
    caller: Reader,
    request: Request,
    deps: Deps,
    *,
    text: PlatePath,
    params: Annotated[PlateParameters, Query()],
    may_read: MayReadPlates,
) -> Response:
    """Reads of one complete plate, newest first."""
    plate_filter = PlateFilter(scope=caller.scope, plate=plate_in_path(text))
    return await _rows(request, deps, plate_filter, limit=params.limit, offset=params.offset, may_read=may_read)


@router.get(
    "/camera/{camera_id}",
    name="camera_plate_rows",
    response_model=list[PlateRowResponse],
    summary="List the plate reads of a camera",
)
async def camera_rows(
    caller: Reader,
    request: Request,
    deps: Deps,
    *,
    camera_id: Annotated[Segment, Path(description="Identifier of the camera.", examples=["camera-1"])],
    params: Annotated[CameraParameters, Query()],
    may_read: MayReadPlates,
) -> Response:
    """Plate reads of one camera, newest first."""
    plate_filter = params.plate_filter(camera_id, scope=caller.scope)
    return await _rows(request, deps, plate_filter, limit=params.limit, may_read=may_read)


@router.get(
    "/{event_id}",
    name="plate_row",
    response_model=PlateRowResponse,
    summary="Get one plate read",
)
async def get_row(
    caller: Reader,
    request: Request,
    deps: Deps,
    event_id: Annotated[UUID, Path(description="`event_id` of the event.")],
    may_read: MayReadPlates,
) -> Response:
    """The plate read of the `anpr` event with this UUID."""

    def read(connection: Connection) -> _Found:
        found = find_plate(connection, event_id, scope=caller.scope)
        reads = deps.plate_access.reads(connection, [] if found is None else [found], may_read=may_read)
        return _Found(reads, image_addresses(connection, reads))

    found = await deps.database.run(read)
    if not found.reads:
        detail = "There is no plate read with this id. It may have been deleted, or its retention has ended."
        raise Problem(404, "event-not-found", detail)
    [text] = _texts(request, deps, found)
    return text_response(text)


async def _rows(
    request: Request, deps: Dependencies, given: PlateFilter, *, limit: int, offset: int = 0, may_read: bool
) -> Response:
    def read(connection: Connection) -> _Found:
        plate_filter = deps.plate_access.plate_filter(connection, given)
        reads = newest_plates(connection, plate_filter, limit=limit, offset=offset)
        reads = deps.plate_access.reads(connection, reads, may_read=may_read)
        return _Found(reads, image_addresses(connection, reads))

    found = await deps.database.run(read)
    return text_response(f"[{','.join(_texts(request, deps, found))}]")


def _texts(request: Request, deps: Dependencies, found: _Found) -> list[str]:
    api_url = str(request.base_url).rstrip("/")
    rows = [alpr_row(read, found.images, api_url=api_url) for read in found.reads]
    texts = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
    return fit_items(texts, lambda index: json.dumps(_without_details(rows[index])), deps.limits)


def _without_details(row: dict[str, object]) -> dict[str, object]:
    """Return the row of a read whose device sent oversized texts, without those texts."""
    optional = (
        "vehicle_type", "vehicle_make", "vehicle_model", "vehicle_color", "host_id", "roi", "direction",
        "plate_image_url", "vehicle_image_url", "frame_image_url",
    )  # fmt: skip
    return row | dict.fromkeys(optional)
