"""Events: lists, statistics, one event, deleting."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Path, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Here, Resources
from cloud_functions.api.events.requests import (
    MAX_RECENT,
    DeleteRequest,
    FilterParameters,
    ListParameters,
    Segment,
    event_ref,
    plate_parameter,
)
from cloud_functions.api.events.responses import (
    EventAnswer,
    EventDeleted,
    EventList,
    EventsDeleted,
    EventStatistics,
    RecentEvents,
)
from cloud_functions.api.http.cursor import Cursor
from cloud_functions.api.http.limits import event_texts
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.responses import json_response, list_response, text_response
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import require
from cloud_functions.api.security.plate_access import is_protected
from cloud_functions.api.security.plate_read_policy import MayReadPlates
from cloud_functions.db.events.counts import count_events
from cloud_functions.db.events.delete import Deletion, SnapshotPath, delete_event, delete_events
from cloud_functions.db.events.filter import EventFilter
from cloud_functions.db.events.queries import EventPage, events_after, find_event, numbered_page, page_after
from cloud_functions.db.events.record import FlatEvent
from cloud_functions.db.events.statistics import event_stats
from cloud_functions.db.snapshots.expired import record_expired_snapshots
from cloud_functions.db.types import Connection
from shared.clock import format_utc
from shared.errors import VedetteError
from shared.storage_keys import image_object_keys

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/events", tags=["Events"], route_class=StrictRoute)
_MAY_READ = Depends(require("events:read"))
_MAY_DELETE = Depends(require("events:delete"))

EventRef = Annotated[int | UUID, Depends(event_ref)]


@router.get("", response_model=EventList, dependencies=[_MAY_READ], summary="List events")
async def list_events(here: Here, asked: Annotated[ListParameters, Query()], may_read: MayReadPlates) -> Response:
    """The events that meet every condition given, newest first, with the exact total.

    Pages are numbered from 1. To walk through many events follow `next_cursor` instead: events that arrive
    meanwhile then neither repeat nor hide any. Totals come from counts kept with the events, so they take milliseconds
    for camera, type, site, time, one of class or zone, and `min_confidence` in steps of 0.05; a confidence between two
    steps, a plate, or class and zone together are counted one by one: exact too, and the slower the more events the
    rest of the conditions leaves.
    """
    return await _page(here, asked.event_filter(), asked, may_read=may_read)


@router.get(
    "/stats", name="event_statistics", response_model=EventStatistics, dependencies=[_MAY_READ], summary="Count events"
)
async def stats(here: Here, asked: Annotated[FilterParameters, Query()]) -> Response:
    """Exact totals by type and by camera of the events that meet every condition, and the time they span."""
    wanted = asked.event_filter()
    found = await here.database.run(
        lambda connection: event_stats(connection, here.plates.event_filter(connection, wanted))
    )
    return json_response(
        {
            "total_events": found.total,
            "events_by_type": found.by_type,
            "events_by_camera": found.by_camera,
            "date_range": {"start": _time(found.first), "end": _time(found.last)},
        }
    )


@router.get(
    "/recent", name="recent_events", response_model=RecentEvents, dependencies=[_MAY_READ], summary="The newest events"
)
async def recent(
    here: Here,
    may_read: MayReadPlates,
    limit: Annotated[int, Query(ge=1, le=MAX_RECENT, description="How many at most.")] = 10,
) -> Response:
    """The newest events of all cameras, by capture time. Nothing is counted: this is the one to poll."""

    def read(connection: Connection) -> list[FlatEvent]:
        events = events_after(connection, EventFilter(), after=None, limit=limit)
        return here.plates.events(connection, events, may_read=may_read)

    events = await here.database.run(read)
    listed = ",".join(event_texts(events, here.limits))
    return text_response(f'{{"events":[{listed}],"count":{len(events)}}}')


@router.get(
    "/camera/{camera_id}",
    name="camera_events",
    response_model=EventList,
    dependencies=[_MAY_READ],
    summary="Events of a camera",
)
async def of_camera(
    here: Here,
    camera_id: Annotated[Segment, Path(description="The camera.", examples=["camera-1"])],
    asked: Annotated[ListParameters, Query()],
    may_read: MayReadPlates,
) -> Response:
    """The list of one camera's events; takes the same conditions as the list of all."""
    if asked.camera_id not in (None, camera_id):
        raise invalid_parameter("camera_id", "names another camera than the path")
    wanted = asked.model_copy(update={"camera_id": camera_id}).event_filter()
    return await _page(here, wanted, asked, may_read=may_read)


@router.get(
    "/plate/{text}",
    name="plate_events",
    response_model=EventList,
    dependencies=[_MAY_READ],
    summary="Events of a number plate",
)
async def of_plate(
    here: Here,
    text: Annotated[str, Path(description="The plate, however it is spaced or cased.", examples=["AB-123-CD"])],
    asked: Annotated[ListParameters, Query()],
    may_read: MayReadPlates,
) -> Response:
    """The list of the `anpr` events of one whole plate; takes the same conditions as the list of all."""
    try:
        plate = plate_parameter(text[:100])
    except ValueError as error:
        raise invalid_parameter("text", str(error), location="path") from None
    if asked.license_plate not in (None, plate):
        raise invalid_parameter("license_plate", "names another plate than the path")
    wanted = asked.model_copy(update={"license_plate": plate}).event_filter()
    return await _page(here, wanted, asked, may_read=may_read)


@router.post(
    "/delete",
    name="delete_events",
    response_model=EventsDeleted,
    dependencies=[_MAY_DELETE],
    summary="Delete many events",
)
async def delete_many(
    here: Here,
    asked: Annotated[
        DeleteRequest,
        Body(openapi_examples={"old motion": {"value": {"event_type": "motion", "end_time": "2026-10-01T00:00:00Z"}}}),
    ],
) -> Response:
    """Delete the oldest events that meet every condition; at least one condition must be given.

    At most `limit` go at once. While `remaining` is not 0, ask again.
    """
    plain = asked.event_filter()
    wanted = await here.database.run(lambda connection: here.plates.event_filter(connection, plain))
    deletion = await here.database.run(lambda connection: delete_events(connection, wanted, limit=asked.limit))
    remaining = await here.database.run(lambda connection: count_events(connection, wanted))
    pictures = await _delete_pictures(here, deletion.pictures) if asked.delete_snapshots else 0
    message = f"{deletion.events} events deleted"
    if asked.delete_snapshots and pictures < len(deletion.pictures):
        message += "; their pictures could not be deleted"
    return json_response(
        {"message": message, "deleted": deletion.events, "snapshots_deleted": pictures, "remaining": remaining}
    )


@router.get("/{event}", name="get_event", response_model=EventAnswer, dependencies=[_MAY_READ], summary="One event")
async def one(here: Here, ref: EventRef, may_read: MayReadPlates) -> Response:
    """The event with this `id` or `event_id`."""
    event = await find_or_404(here, ref)
    if may_read and is_protected(event):
        [event] = await here.database.run(lambda connection: here.plates.events(connection, [event], may_read=may_read))
    [text] = event_texts([event], here.limits)
    return text_response(text)


@router.delete(
    "/{event}", name="delete_event", response_model=EventDeleted, dependencies=[_MAY_DELETE], summary="Delete one event"
)
async def delete_one(
    here: Here,
    ref: EventRef,
    delete_snapshot: Annotated[bool, Query(description="Delete its picture and thumbnail too.")] = False,
) -> Response:
    """Delete the event; its picture stays unless asked otherwise, and while another event shows it."""
    deletion: Deletion = await here.database.run(lambda connection: delete_event(connection, ref))
    if deletion.events == 0:
        raise no_such_event()
    pictures = await _delete_pictures(here, deletion.pictures) if delete_snapshot else 0
    message = "Event deleted"
    if delete_snapshot and pictures < len(deletion.pictures):
        message += "; its picture could not be deleted"
    return json_response({"message": message, "snapshot_deleted": pictures > 0})


async def find_or_404(here: Resources, ref: int | UUID) -> FlatEvent:
    """Return the event; raise the 404 Problem where there is none."""
    event = await here.database.run(lambda connection: find_event(connection, ref))
    if event is None:
        raise no_such_event()
    return event


def no_such_event() -> Problem:
    """Return the 404 for an event that is not there."""
    return Problem(404, "event-not-found", "There is no event with this id; it may have been deleted or expired.")


async def _page(here: Resources, plain: EventFilter, asked: ListParameters, *, may_read: bool) -> Response:
    size, after = asked.page_size, asked.after

    def read(connection: Connection) -> EventPage:
        wanted = here.plates.event_filter(connection, plain)
        if after is not None:
            page = page_after(connection, wanted, after=after, limit=size)
        else:
            page = numbered_page(connection, wanted, offset=(asked.page - 1) * size, limit=size)
        return replace(page, events=here.plates.events(connection, page.events, may_read=may_read))

    page = await here.database.run(read)
    last = page.events[-1] if page.has_more and page.events else None
    return list_response(
        "events",
        event_texts(page.events, here.limits),
        total=page.total,
        part={"page": asked.page if after is None else None, "page_size": size},
        ends_at=None if last is None else Cursor(timestamp=last.timestamp, id=last.id),
    )


async def _delete_pictures(here: Resources, pictures: list[SnapshotPath]) -> int:
    """Delete pictures and their thumbnails; return how many went. What a failing bucket keeps, maintenance deletes."""
    objects = {picture: image_object_keys(picture.device_id, picture.path) for picture in pictures}
    ours = [picture for picture in pictures if objects[picture]]  # the others are in no bucket of ours
    if not ours:
        return 0
    keys = [key for picture in ours for key in objects[picture]]
    try:
        await here.workers.run(lambda: here.snapshots.delete(keys))
    except VedetteError as error:
        logger.warning("%d pictures of deleted events are left to maintenance: %s", len(ours), error)
        await here.database.run(lambda connection: record_expired_snapshots(connection, ours))
        return 0
    return len(ours)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_utc(moment)
