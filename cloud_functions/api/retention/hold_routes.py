"""Routes of legal holds: events, pictures and snapshots that nothing deletes until the hold is released or expires."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import envelope_response, error_description, page_response
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.retention.requests import HoldListParameters, HoldRequest, ReleaseRequest, hold_id_in_path
from cloud_functions.api.retention.responses import HoldEnvelope, HoldListEnvelope, hold_content
from cloud_functions.api.security.audit.request_audit import record_details
from cloud_functions.api.security.permissions import Principal, require
from cloud_functions.db.events.queries import find_event
from cloud_functions.db.retention.holds import (
    HeldItem,
    LegalHold,
    NewHold,
    find_hold,
    list_holds,
    place_hold,
    release_hold,
)
from cloud_functions.db.retention.protection import wait_for_deletions
from cloud_functions.db.types import Connection

router = APIRouter(prefix="/retention/holds", tags=["Retention"], route_class=StrictRoute)
_READ = Depends(require("retention:read"))
Holder = Annotated[Principal, Depends(require("holds:write"))]
HoldId = Annotated[int, Depends(hold_id_in_path)]

_RELEASED: dict[int | str, dict[str, Any]] = {409: error_description("It was released before (`hold-released`).")}


@router.get(
    "",
    name="list_legal_holds",
    response_model=HoldListEnvelope,
    dependencies=[_READ],
    summary="List legal holds",
)
async def get_holds(deps: Deps, params: Annotated[HoldListParameters, Query()]) -> Response:
    """Holds, newest first. Those that were released or have expired stay in the list."""
    holds, total = await deps.database.run(
        lambda connection: list_holds(connection, active=params.active, limit=params.page_size, offset=params.offset)
    )
    return page_response([hold_content(hold) for hold in holds], page=params, total=total)


@router.post(
    "",
    name="place_legal_hold",
    status_code=201,
    response_model=HoldEnvelope,
    summary="Place a legal hold",
)
async def post_hold(caller: Holder, deps: Deps, body: Annotated[HoldRequest, Body()]) -> Response:
    """Protect events with their pictures, and the requested snapshots of the same cameras and times.

    Nothing deletes them while the hold is active: not the API (409), not retention by age or size, not the expiry of
    snapshots. What was deleted before cannot be held.
    """
    record_details(name=body.name, reason=body.reason)

    def write(connection: Connection) -> LegalHold:
        wait_for_deletions(connection)  # before the events are looked up: one that is being deleted is not held
        new = NewHold(body.name, body.reason, caller.name, body.expires_at, _items(connection, body))
        return place_hold(connection, new)

    return envelope_response(hold_content(await deps.database.run(write)), status=201)


@router.get(
    "/{hold}",
    name="get_legal_hold",
    response_model=HoldEnvelope,
    dependencies=[_READ],
    summary="Get a legal hold",
)
async def get_hold(deps: Deps, hold_id: HoldId) -> Response:
    """The hold with this id, active or not."""
    hold = await deps.database.run(lambda connection: find_hold(connection, hold_id))
    if hold is None:
        raise _hold_not_found()
    return envelope_response(hold_content(hold))


@router.post(
    "/{hold}/release",
    name="release_legal_hold",
    response_model=HoldEnvelope,
    responses=_RELEASED,
    summary="Release a legal hold",
)
async def post_release(
    caller: Holder, deps: Deps, hold_id: HoldId, body: Annotated[ReleaseRequest, Body()]
) -> Response:
    """Release the hold. Its record stays. What other holds protect stays protected."""
    record_details(reason=body.reason)

    def write(connection: Connection) -> tuple[LegalHold | None, bool]:
        released = release_hold(connection, hold_id, by=caller.name, reason=body.reason)
        return released, released is None and find_hold(connection, hold_id) is not None

    hold, was_released = await deps.database.run(write)
    if was_released:
        raise Problem(409, "hold-released", "This hold was released before.")
    if hold is None:
        raise _hold_not_found()
    return envelope_response(hold_content(hold))


def _items(connection: Connection, body: HoldRequest) -> list[HeldItem]:
    """Return what the hold protects; raise the 422 Problem for an event that does not exist."""
    items: list[HeldItem] = []
    for ref in body.event_refs:
        event = find_event(connection, ref)
        if event is None:
            raise invalid_parameter("events", f"there is no event {ref}", location="body")
        items.append(HeldItem(UUID(event.event_id), event.camera_id, event.timestamp, event.timestamp))
    if body.span is not None:
        items += [HeldItem(None, camera_id, *body.span) for camera_id in body.cameras or [None]]
    return items


def _hold_not_found() -> Problem:
    return Problem(404, "hold-not-found", "There is no legal hold with this id.")
