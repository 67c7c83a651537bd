"""Plates: search, the history of one, statistics."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Here, Resources
from cloud_functions.api.events.requests import plate_parameter
from cloud_functions.api.http.cursor import Cursor
from cloud_functions.api.http.limits import plate_texts
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.responses import json_response, list_response, text_response
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.plates.requests import HistoryParameters, PlateListParameters
from cloud_functions.api.plates.responses import PlateHistoryAnswer, PlateList, PlateStatistics
from cloud_functions.api.security.permissions import require
from cloud_functions.api.security.plate_read_policy import MayReadPlates
from cloud_functions.db.plates.queries import PlateFilter, PlateHistory, PlatePage, plate_history, plates_page
from cloud_functions.db.plates.record import PlateEvent
from cloud_functions.db.plates.search import (
    NearPlate,
    SearchPage,
    SearchResult,
    near_plates,
    near_protected_plates,
    nearest,
    search_page,
)
from cloud_functions.db.types import Connection
from cloud_functions.privacy.plate_store import get_stats
from shared.clock import format_utc
from shared.errors import TransientError

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/plates", tags=["Plates"], route_class=StrictRoute)
stats_router = APIRouter(tags=["Plates"], route_class=StrictRoute)
"""Statistics at the root, where clients of plate services look for them."""
_MAY_READ = Depends(require("events:read"))


@router.get("", response_model=PlateList, dependencies=[_MAY_READ], summary="Search plates")
async def list_plates(here: Here, asked: Annotated[PlateListParameters, Query()], may_read: MayReadPlates) -> Response:
    """The reads that meet every condition given, with the exact total.

    Without `plate` every read matches. `match=fuzzy` finds plates like the one given, read wrongly or remembered
    wrongly: the nearest plates first, each with `similarity`, `edit_distance` and `distance`; at most 100 plates.
    Where a site's plates are protected, a whole plate finds its reads, but only who may read them sees more than
    their `plate_token`, and searches them by prefix or likeness.
    """
    if asked.match == "fuzzy":
        return await _search(here, asked, may_read=may_read)
    after = asked.after

    def read(connection: Connection) -> PlatePage:
        wanted = here.plates.plate_filter(connection, asked.plate_filter())
        if wanted.prefix is not None and not may_read:
            here.plates.refuse_guessing(connection, wanted.site_id)
        elif wanted.prefix is not None:
            opened = here.plates.opened_plates(connection, wanted)
            wanted = replace(wanted, tokens=tuple(one.token for one in opened if one.plate.startswith(wanted.prefix)))
        page = plates_page(connection, wanted, limit=asked.limit, offset=asked.offset, after=after)
        return replace(page, plates=here.plates.reads(connection, page.plates, may_read=may_read))

    page = await here.database.run(read)
    last = page.plates[-1] if page.has_more and page.plates else None
    return _list(here, asked, [read.to_dict() for read in page.plates], page.total, last)


@router.get(
    "/stats", name="plate_statistics", response_model=PlateStatistics, dependencies=[_MAY_READ], summary="Count plates"
)
@stats_router.get(
    "/stats",
    name="plate_statistics_at_the_root",
    response_model=PlateStatistics,
    dependencies=[_MAY_READ],
    summary="Count plates",
)
async def stats(here: Here) -> Response:
    """Exact totals and averages over every read. While the database is away: `is_connected` false and nulls."""
    try:
        kept = await here.database.run(get_stats)
    except TransientError as error:
        logger.warning("no plate statistics for now: %s", error)
        nothing = ("total_events", "unique_plates", "active_cameras", "avg_confidence", "avg_latency_ms")
        return json_response({"is_connected": False} | dict.fromkeys(nothing))
    return json_response(
        {
            "is_connected": True,
            "total_events": kept.total_events,
            "unique_plates": kept.unique_plates,
            "active_cameras": kept.active_cameras,
            "avg_confidence": kept.avg_confidence,
            "avg_latency_ms": kept.avg_latency_ms,
        }
    )


@router.get(
    "/{text}",
    name="plate_history",
    response_model=PlateHistoryAnswer,
    dependencies=[_MAY_READ],
    summary="History of a plate",
)
async def history(
    here: Here,
    text: Annotated[str, Path(description="The whole plate, however it is spaced or cased.", examples=["AB-123-CD"])],
    asked: Annotated[HistoryParameters, Query()],
    may_read: MayReadPlates,
) -> Response:
    """Where and when one plate was read: first and last, by camera, and its newest reads."""
    try:
        plate = plate_parameter(text[:100])
    except ValueError as error:
        raise invalid_parameter("text", str(error), location="path") from None

    def read(connection: Connection) -> PlateHistory | None:
        wanted = here.plates.plate_filter(connection, PlateFilter(plate=plate))
        found = plate_history(connection, wanted, limit=asked.limit)
        if found is None:
            return None
        plates = here.plates.reads(connection, found.latest.plates, may_read=may_read)
        return replace(found, latest=replace(found.latest, plates=plates))

    found = await here.database.run(read)
    if found is None:
        raise Problem(404, "plate-not-found", "No read of this plate is stored; it may have been deleted or expired.")
    reads = ",".join(plate_texts([read.to_dict() for read in found.latest.plates], here.limits))
    return text_response(f'{json.dumps(_history(plate, found))[:-1]},"plates":[{reads}]}}')


async def _search(here: Resources, asked: PlateListParameters, *, may_read: bool) -> Response:
    wanted, after = asked.plate_filter(), asked.after

    def read(connection: Connection) -> SearchPage:
        near = _near(here, connection, asked, may_read=may_read)
        page = search_page(connection, near, wanted, limit=asked.limit, offset=asked.offset, after=after)
        reads = here.plates.reads(connection, [one.read for one in page.found], may_read=may_read)
        return replace(page, found=[SearchResult(read, one.near) for read, one in zip(reads, page.found, strict=True)])

    try:
        page = await here.database.run(read)
    except LookupError:
        raise invalid_parameter("cursor", "ended at a read that is gone; search again from the start") from None
    last = page.found[-1].read if page.has_more and page.found else None
    return _list(here, asked, [_found(one) for one in page.found], page.total, last)


def _near(here: Resources, connection: Connection, asked: PlateListParameters, *, may_read: bool) -> list[NearPlate]:
    plate, most = asked.plate or "", asked.max_distance
    near = near_plates(connection, plate, max_distance=most)
    if not may_read:
        here.plates.refuse_guessing(connection, asked.site_id)
        return near
    opened = here.plates.opened_plates(connection, asked.plate_filter())
    protected = near_protected_plates(plate, [(one.token, one.plate, one.events) for one in opened], max_distance=most)
    return nearest([*near, *protected])


def _found(one: SearchResult) -> dict[str, Any]:
    near = one.near
    return one.read.to_dict() | {
        "similarity": near.similarity,
        "edit_distance": near.edit_distance,
        "distance": near.distance,
    }


def _list(
    here: Resources, asked: PlateListParameters, plates: list[dict[str, Any]], total: int, last: PlateEvent | None
) -> Response:
    """Return the list; ``last`` is the last of the reads if more follow."""
    return list_response(
        "plates",
        plate_texts(plates, here.limits),
        total=total,
        part={"limit": asked.limit, "offset": None if asked.cursor else asked.offset},
        ends_at=None if last is None else Cursor(timestamp=last.captured_at, id=last.id),
    )


def _history(plate: str, found: PlateHistory) -> dict[str, Any]:
    return {
        "plate_normalized_text": plate,
        "total_events": found.events,
        "first_seen": format_utc(found.first_seen),
        "last_seen": format_utc(found.last_seen),
        "avg_confidence": found.avg_confidence,
        "cameras": [
            {
                "camera_id": camera.camera_id,
                "site_id": camera.site_id,
                "events": camera.events,
                "first_seen": format_utc(camera.first_seen),
                "last_seen": format_utc(camera.last_seen),
            }
            for camera in found.cameras
        ],
    }
