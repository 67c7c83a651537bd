"""Routes of the events API: list, count, read and delete events.

``GET /events`` takes these steps: ``ListParameters`` (requests.py) validates the query and gives an ``EventFilter``;
``PlateAccess`` adds the tokens of a protected plate to it; ``db.events.queries`` reads the page and its exact total;
``PlateAccess`` opens protected plates if the caller may read them; ``event_texts`` (responses.py) makes the page fit.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Path, Query
from fastapi.openapi.models import Example
from starlette.responses import Response

from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.events.requests import (
    MAX_RECENT,
    DeleteEventsRequest,
    FilterParameters,
    ListParameters,
)
from cloud_functions.api.events.responses import (
    DeleteEventResponse,
    DeleteEventsResponse,
    EventListResponse,
    EventResponse,
    EventStatisticsResponse,
    RecentEventsResponse,
    event_texts,
    statistics_content,
)
from cloud_functions.api.http.cursor import Cursor
from cloud_functions.api.http.list_parameters import with_path_condition
from cloud_functions.api.http.parameters import PlatePath, Segment, event_ref, plate_in_path
from cloud_functions.api.http.problems import Problem, on_hold, problem_description
from cloud_functions.api.http.responses import json_response, list_response, text_response
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.api.security.plate_access import is_protected
from cloud_functions.api.security.plate_read_policy import MayReadPlates
from cloud_functions.db.cameras.scope import CameraScope, mark_of
from cloud_functions.db.events.counts import count_events
from cloud_functions.db.events.delete import Deletion, delete_event, delete_events
from cloud_functions.db.events.filter import EventFilter
from cloud_functions.db.events.queries import EventPage, events_after, find_event, numbered_page, page_after
from cloud_functions.db.events.record import FlatEvent
from cloud_functions.db.events.statistics import event_stats
from cloud_functions.db.snapshots.expired import record_expired_snapshots, remove_expired_snapshots
from cloud_functions.db.snapshots.references import SnapshotPath
from cloud_functions.db.types import Connection
from shared.errors import VedetteError
from shared.storage_keys import image_object_keys

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/events", tags=["Events"], route_class=StrictRoute)
Reader = Annotated[Principal, Depends(require_in_scope("events:read"))]
Deleter = Annotated[Principal, Depends(require_in_scope("events:delete"))]
_DELETE_EXAMPLES: Final[dict[str, Example]] = {
    "old motion": {"value": {"event_type": "motion", "end_time": "2026-10-01T00:00:00Z"}}
}

EventRef = Annotated[int | UUID, Depends(event_ref)]


@router.get("", response_model=EventListResponse, summary="List events")
async def list_events(
    caller: Reader, deps: Deps, params: Annotated[ListParameters, Query()], may_read: MayReadPlates
) -> Response:
    """Events that meet every condition, newest first, with their exact total.

    Pages are numbered from 1. To read many events, follow `next_cursor` instead: events that arrive in the meantime
    then neither repeat nor skip items. Totals are computed from rollups and take milliseconds for camera, type, site,
    time, one of class or zone, and `min_confidence` in steps of 0.05. A confidence between two steps, a plate, or class
    and zone together require counting each event: the total is still exact, but slower the more events match.
    """
    return await _page(deps, params, scope=caller.scope, may_read=may_read)


@router.get(
    "/stats",
    name="event_statistics",
    response_model=EventStatisticsResponse,
    summary="Count events",
)
async def event_statistics(caller: Reader, deps: Deps, params: Annotated[FilterParameters, Query()]) -> Response:
    """Exact totals by type and by camera of the events that meet every condition, and their time range."""
    event_filter = params.event_filter(scope=caller.scope)
    statistics = await deps.database.run(
        lambda connection: event_stats(connection, deps.plate_access.event_filter(connection, event_filter))
    )
    return json_response(statistics_content(statistics))


@router.get(
    "/recent",
    name="recent_events",
    response_model=RecentEventsResponse,
    summary="List the newest events",
)
async def recent_events(
    caller: Reader,
    deps: Deps,
    may_read: MayReadPlates,
    limit: Annotated[int, Query(ge=1, le=MAX_RECENT, description="Maximum number of events.")] = 10,
) -> Response:
    """The newest events of all cameras, by capture time. The request counts nothing, so it is suitable for polling."""

    def read(connection: Connection) -> list[FlatEvent]:
        events = events_after(connection, EventFilter(scope=caller.scope), after=None, limit=limit)
        return deps.plate_access.events(connection, events, may_read=may_read)

    events = await deps.database.run(read)
    items = ",".join(event_texts(events, deps.limits))
    return text_response(f'{{"events":[{items}],"count":{len(events)}}}')


@router.get(
    "/camera/{camera_id}",
    name="camera_events",
    response_model=EventListResponse,
    summary="List the events of a camera",
)
async def camera_events(
    caller: Reader,
    deps: Deps,
    camera_id: Annotated[Segment, Path(description="Identifier of the camera.", examples=["camera-1"])],
    params: Annotated[ListParameters, Query()],
    may_read: MayReadPlates,
) -> Response:
    """Events of one camera. Accepts the same conditions as the list of all events."""
    params = with_path_condition(params, "camera_id", camera_id, described="camera")
    return await _page(deps, params, scope=caller.scope, may_read=may_read)


@router.get(
    "/plate/{text}",
    name="plate_events",
    response_model=EventListResponse,
    summary="List the events of a number plate",
)
async def plate_events(
    caller: Reader,
    deps: Deps,
    text: PlatePath,
    params: Annotated[ListParameters, Query()],
    may_read: MayReadPlates,
) -> Response:
    """`anpr` events of one complete plate. Accepts the same conditions as the list of all events."""
    params = with_path_condition(params, "license_plate", plate_in_path(text), described="plate")
    return await _page(deps, params, scope=caller.scope, may_read=may_read)


@router.post(
    "/delete",
    name="delete_events",
    response_model=DeleteEventsResponse,
    summary="Delete many events",
)
async def delete_many(
    caller: Deleter, deps: Deps, body: Annotated[DeleteEventsRequest, Body(openapi_examples=_DELETE_EXAMPLES)]
) -> Response:
    """Delete the oldest events that meet every condition. At least one condition is required.

    One request deletes at most `limit` events. Repeat it until `remaining` is 0. Pictures that nothing shows any more
    are deleted by this request if `delete_snapshots` is true, and otherwise by maintenance within minutes.
    """
    conditions = body.event_filter(scope=caller.scope)
    event_filter = await deps.database.run(lambda connection: deps.plate_access.event_filter(connection, conditions))
    deletion = await deps.database.run(
        lambda connection: delete_events(
            connection, event_filter, limit=body.limit, with_pictures=body.delete_snapshots
        )
    )
    remaining = await deps.database.run(lambda connection: count_events(connection, event_filter))
    deleted_snapshots = await _delete_snapshots(deps, deletion.snapshots) if body.delete_snapshots else 0
    message = f"{deletion.events} events deleted"
    if body.delete_snapshots and deleted_snapshots < len(deletion.snapshots):
        message += "; their snapshots could not be deleted"
    return json_response(
        {
            "message": message,
            "deleted": deletion.events,
            "snapshots_deleted": deleted_snapshots,
            "remaining": max(remaining - deletion.on_hold, 0),
            "on_hold": deletion.on_hold,
        }
    )


@router.get("/{event}", name="get_event", response_model=EventResponse, summary="Get one event")
async def get_event(caller: Reader, deps: Deps, ref: EventRef, may_read: MayReadPlates) -> Response:
    """The event with this `id` or `event_id`."""
    event = await get_event_or_404(deps, ref, scope=caller.scope)
    if may_read and is_protected(event):
        [event] = await deps.database.run(
            lambda connection: deps.plate_access.events(connection, [event], may_read=may_read)
        )
    [text] = event_texts([event], deps.limits)
    return text_response(text)


@router.delete(
    "/{event}",
    name="delete_event",
    response_model=DeleteEventResponse,
    responses={409: problem_description("A legal hold protects the event (`urn:vedette:problem:on-hold`).")},
    summary="Delete one event",
)
async def delete_one(
    caller: Deleter,
    deps: Deps,
    ref: EventRef,
    delete_snapshot: Annotated[
        bool, Query(description="Delete its snapshot and thumbnail at once. Otherwise maintenance deletes them.")
    ] = False,
) -> Response:
    """Delete the event. A snapshot that no other event, plate read or requested snapshot shows is deleted too.

    With `delete_snapshot` this request deletes it, and that of a requested snapshot; otherwise maintenance does within
    minutes. `snapshot_deleted` is true only if this request deleted a snapshot.
    """
    deletion: Deletion = await deps.database.run(
        lambda connection: delete_event(connection, ref, scope=caller.scope, with_pictures=delete_snapshot)
    )
    if deletion.on_hold:
        raise on_hold("event", deletion.holds)
    if deletion.events == 0:
        raise event_not_found()
    message = f"Event {ref} deleted successfully"
    had_snapshot = delete_snapshot and await _has_stored_snapshot(deps, deletion.snapshots)
    deleted_snapshots = await _delete_snapshots(deps, deletion.snapshots) if delete_snapshot else 0
    if delete_snapshot and not had_snapshot:  # its device may still upload it
        await deps.database.run(lambda connection: _record_late(connection, deletion.snapshots))
    if delete_snapshot and deleted_snapshots < len(deletion.snapshots):
        message += "; its snapshot could not be deleted"
    return json_response({"message": message, "snapshot_deleted": had_snapshot and deleted_snapshots > 0})


async def get_event_or_404(deps: Dependencies, ref: int | UUID, *, scope: CameraScope | None) -> FlatEvent:
    """Return the event; raise the 404 Problem if it does not exist in the scope."""
    event = await deps.database.run(lambda connection: find_event(connection, ref, scope=scope))
    if event is None:
        raise event_not_found()
    return event


def event_not_found() -> Problem:
    """Return the 404 Problem for an event that does not exist."""
    return Problem(
        404, "event-not-found", "There is no event with this id. It may have been deleted, or its retention has ended."
    )


async def _page(deps: Dependencies, params: ListParameters, *, scope: CameraScope | None, may_read: bool) -> Response:
    conditions, size, after = params.event_filter(scope=scope), params.page_size, params.after(scope=scope)

    def read(connection: Connection) -> EventPage:
        event_filter = deps.plate_access.event_filter(connection, conditions)
        if after is not None:
            page = page_after(connection, event_filter, after=after, limit=size)
        else:
            page = numbered_page(connection, event_filter, offset=(params.page - 1) * size, limit=size)
        return replace(page, events=deps.plate_access.events(connection, page.events, may_read=may_read))

    page = await deps.database.run(read)
    last = page.events[-1] if page.has_more and page.events else None
    return list_response(
        "events",
        event_texts(page.events, deps.limits),
        total=page.total,
        page={"page": params.page if after is None else None, "page_size": size},
        last=None if last is None else Cursor(timestamp=last.timestamp, id=last.id, scope_mark=mark_of(scope)),
    )


async def _has_stored_snapshot(deps: Dependencies, snapshots: list[SnapshotPath]) -> bool:
    """Return whether one of the snapshots is in the bucket. A device may not have uploaded it, or it has expired."""
    keys = [key for snapshot in snapshots for key in image_object_keys(snapshot.device_id, snapshot.path)]
    try:
        return await deps.thread_pool.run(lambda: any(deps.snapshots.exists(key) for key in keys))
    except VedetteError as error:
        logger.warning("cannot find the snapshot of a deleted event: %s", error)
        return False


def _record_late(connection: Connection, snapshots: list[SnapshotPath]) -> None:
    in_bucket = [snapshot for snapshot in snapshots if image_object_keys(snapshot.device_id, snapshot.path)]
    record_expired_snapshots(connection, in_bucket, may_arrive=True)


async def _delete_snapshots(deps: Dependencies, snapshots: list[SnapshotPath]) -> int:
    """Delete recorded snapshots and their thumbnails; return the number deleted. Maintenance deletes what is left."""
    objects = {snapshot: image_object_keys(snapshot.device_id, snapshot.path) for snapshot in snapshots}
    stored = [snapshot for snapshot in snapshots if objects[snapshot]]  # other keys are not in this bucket
    if not stored:
        return 0
    keys = [key for snapshot in stored for key in objects[snapshot]]
    try:
        await deps.thread_pool.run(lambda: deps.snapshots.delete(keys))
    except VedetteError as error:
        logger.warning("deleting %d snapshots failed; maintenance will retry: %s", len(stored), error)
        return 0
    await deps.database.run(lambda connection: remove_expired_snapshots(connection, stored))
    return len(stored)
