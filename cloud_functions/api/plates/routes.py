"""Routes of the plates API: search, the history of one plate, statistics."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.http.cursor import Cursor
from cloud_functions.api.http.parameters import PlatePath, plate_in_path
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.responses import json_response, list_response, text_response
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.plates.requests import HistoryParameters, PlateListParameters
from cloud_functions.api.plates.responses import (
    PlateHistoryResponse,
    PlateListResponse,
    PlateStatisticsResponse,
    history_content,
    plate_texts,
    search_result_content,
    statistics_content,
)
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.api.security.plate_read_policy import MayReadPlates
from cloud_functions.db.cameras.scope import CameraScope, mark_of
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
from shared.errors import TransientError

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/plates", tags=["Plates"], route_class=StrictRoute)
stats_router = APIRouter(tags=["Plates"], route_class=StrictRoute)
"""Statistics at the root path, which clients of other plate services use."""
Reader = Annotated[Principal, Depends(require_in_scope("events:read"))]


@router.get("", response_model=PlateListResponse, summary="Search plates")
async def list_plates(
    caller: Reader, deps: Deps, params: Annotated[PlateListParameters, Query()], may_read: MayReadPlates
) -> Response:
    """Reads that meet every condition, with their exact total.

    Without `plate`, all reads match. `match=fuzzy` finds plates that are similar to the given one: the nearest plates
    first, at most 100 plates, each read with `similarity`, `edit_distance` and `distance`. If a site protects its
    plates, a search for the whole plate finds its reads. Only callers with read permission see more than the
    `plate_token` and can search by prefix or similarity.
    """
    if params.match == "fuzzy":
        return await _fuzzy_page(deps, params, scope=caller.scope, may_read=may_read)
    after = params.after(scope=caller.scope)

    def read(connection: Connection) -> PlatePage:
        plate_filter = deps.plate_access.plate_filter(connection, params.plate_filter(scope=caller.scope))
        prefix = plate_filter.prefix
        if prefix is not None and not may_read:
            deps.plate_access.reject_inexact_search(connection, plate_filter.site_id)
        elif prefix is not None:
            opened = deps.plate_access.opened_plates(connection, plate_filter)
            tokens = tuple(plate.token for plate in opened if plate.plate.startswith(prefix))
            plate_filter = replace(plate_filter, tokens=tokens)
        page = plates_page(connection, plate_filter, limit=params.limit, offset=params.offset, after=after)
        return replace(page, plates=deps.plate_access.reads(connection, page.plates, may_read=may_read))

    page = await deps.database.run(read)
    last = page.plates[-1] if page.has_more and page.plates else None
    plates = [plate.to_dict() for plate in page.plates]
    return _page_response(deps, params, plates, total=page.total, last=_cursor_of(last, caller.scope))


@router.get(
    "/stats",
    name="plate_statistics",
    response_model=PlateStatisticsResponse,
    summary="Count plates",
)
@stats_router.get(
    "/stats",
    name="plate_statistics_at_the_root",
    response_model=PlateStatisticsResponse,
    summary="Count plates",
)
async def plate_statistics(caller: Reader, deps: Deps) -> Response:
    """Exact totals and averages of all reads. If the database is unavailable, `is_connected` is false."""
    try:
        statistics = await deps.database.run(lambda connection: get_stats(connection, scope=caller.scope))
    except TransientError as error:
        logger.warning("plate statistics are temporarily unavailable: %s", error)
        statistics = None
    return json_response(statistics_content(statistics))


@router.get(
    "/{text}",
    name="plate_history",
    response_model=PlateHistoryResponse,
    summary="Get the history of a plate",
)
async def get_plate_history(
    caller: Reader,
    deps: Deps,
    text: PlatePath,
    params: Annotated[HistoryParameters, Query()],
    may_read: MayReadPlates,
) -> Response:
    """When and where one plate was read: the first and last time, the cameras, and the newest reads."""
    plate = plate_in_path(text)

    def read(connection: Connection) -> PlateHistory | None:
        plate_filter = deps.plate_access.plate_filter(connection, PlateFilter(scope=caller.scope, plate=plate))
        history = plate_history(connection, plate_filter, limit=params.limit)
        if history is None:
            return None
        plates = deps.plate_access.reads(connection, history.latest.plates, may_read=may_read)
        return replace(history, latest=replace(history.latest, plates=plates))

    history = await deps.database.run(read)
    if history is None:
        detail = "There is no read of this plate. Its reads may have been deleted, or their retention has ended."
        raise Problem(404, "plate-not-found", detail)
    reads = ",".join(plate_texts([plate.to_dict() for plate in history.latest.plates], deps.limits))
    return text_response(f'{json.dumps(history_content(plate, history))[:-1]},"plates":[{reads}]}}')


async def _fuzzy_page(
    deps: Dependencies, params: PlateListParameters, *, scope: CameraScope | None, may_read: bool
) -> Response:
    plate_filter, after = params.plate_filter(scope=scope), params.after(scope=scope)

    def read(connection: Connection) -> SearchPage:
        near = _near_plates(deps, connection, params, scope=scope, may_read=may_read)
        page = search_page(connection, near, plate_filter, limit=params.limit, offset=params.offset, after=after)
        reads = deps.plate_access.reads(connection, [result.read for result in page.results], may_read=may_read)
        results = [SearchResult(read, result.near) for read, result in zip(reads, page.results, strict=True)]
        return replace(page, results=results)

    try:
        page = await deps.database.run(read)
    except LookupError:
        raise invalid_parameter("cursor", "refers to a read that was deleted; restart the search") from None
    last = page.results[-1].read if page.has_more and page.results else None
    results = [search_result_content(result) for result in page.results]
    return _page_response(deps, params, results, total=page.total, last=_cursor_of(last, scope))


def _near_plates(
    deps: Dependencies,
    connection: Connection,
    params: PlateListParameters,
    *,
    scope: CameraScope | None,
    may_read: bool,
) -> list[NearPlate]:
    plate, max_distance = params.plate or "", params.max_distance
    near = near_plates(connection, plate, max_distance=max_distance, scope=scope)
    if not may_read:
        deps.plate_access.reject_inexact_search(connection, params.site_id)
        return near
    opened = deps.plate_access.opened_plates(connection, params.plate_filter(scope=scope))
    candidates = [(protected.token, protected.plate, protected.events) for protected in opened]
    return nearest([*near, *near_protected_plates(plate, candidates, max_distance=max_distance)])


def _page_response(
    deps: Dependencies,
    params: PlateListParameters,
    plates: Sequence[dict[str, Any]],
    *,
    total: int,
    last: Cursor | None,
) -> Response:
    """Return one page of reads. ``last`` is the position of the last of them if more follow, else None."""
    return list_response(
        "plates",
        plate_texts(plates, deps.limits),
        total=total,
        page={"limit": params.limit, "offset": None if params.cursor else params.offset},
        last=last,
    )


def _cursor_of(last: PlateEvent | None, scope: CameraScope | None) -> Cursor | None:
    return None if last is None else Cursor(timestamp=last.captured_at, id=last.id, scope_mark=mark_of(scope))
