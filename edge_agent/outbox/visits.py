"""Visits and motion episodes that an event has opened and none has closed yet.

Each is kept in the same transaction as its events, so that after a crash it is known what stayed open. The next start
closes it with an event of its own: the last known data, and the time at which the object was last seen.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from shared.errors import ContractError
from shared.events import Event, MotionEvent, TrackingEvent, parse_event

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenVisit:
    """One that is open: its latest event, and how long after that event it was last seen."""

    visit: str
    event: Event
    clock: int | None
    seen_after_s: float


def motion_visit(camera_id: str) -> str:
    """Name a camera's motion episode among the visits; there is one at a time."""
    return f"motion of {camera_id}"


def keep_visit(
    connection: sqlite3.Connection, event: Event, payload: bytes, *, put_at_s: float, clock: int | None
) -> None:
    """Open, refresh or close the event's visit, inside the transaction that stores the event."""
    if isinstance(event, TrackingEvent):
        visit, closes = event.event_data.track_uid, event.event_data.tracking_action == "left"
    elif isinstance(event, MotionEvent):
        visit, closes = motion_visit(event.camera_id), event.event_data.duration_seconds is not None
    else:
        return
    if closes:
        connection.execute("DELETE FROM open_visits WHERE visit = ?", (visit,))
    else:
        connection.execute(
            "INSERT OR REPLACE INTO open_visits (visit, camera_id, clock, put_at_s, seen_at_s, payload)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (visit, event.camera_id, clock, put_at_s, put_at_s, payload),
        )


def note_seen(connection: sqlite3.Connection, seen: Iterable[tuple[str, float]]) -> None:
    """Set when visits were last seen (outbox time), inside the caller's transaction; one not open is passed over."""
    change = "UPDATE open_visits SET seen_at_s = max(seen_at_s, ?2) WHERE visit = ?1"
    connection.executemany(change, list(seen))


def open_visits(connection: sqlite3.Connection, camera_id: str | None) -> list[OpenVisit]:
    """Return the open visits of one camera, or of all, in the order of their latest events.

    One that cannot be read (written by another version of the agent) is forgotten.
    """
    rows = connection.execute(
        "SELECT visit, payload, clock, seen_at_s - put_at_s FROM open_visits WHERE ?1 IS NULL OR camera_id = ?1"
        " ORDER BY put_at_s, visit",
        (camera_id,),
    ).fetchall()
    found: list[OpenVisit] = []
    for visit, payload, clock, seen_after_s in rows:
        try:
            found.append(OpenVisit(visit, parse_event(payload), clock, max(float(seen_after_s), 0.0)))
        except ContractError as error:
            logger.warning("the open visit %s is forgotten, its event cannot be read: %s", visit, error)
            connection.execute("DELETE FROM open_visits WHERE visit = ?", (visit,))
    return found


def closing_event(open_visit: OpenVisit, new_id: Callable[[], UUID]) -> Event:
    """Return the event that closes the visit: stamped with the time of the last sighting, and without a picture."""
    event = open_visit.event
    after = timedelta(seconds=open_visit.seen_after_s)
    changes = {"event_id": new_id(), "snapshot": None, "frame_number": None}
    if isinstance(event, TrackingEvent):
        data = event.event_data
        last_seen_at = (data.last_seen_at or event.timestamp) + after
        stayed_s = _seconds_between(data.first_seen_at or event.timestamp, last_seen_at)
        closing = {"tracking_action": "left", "dwell_time_seconds": stayed_s, "last_seen_at": last_seen_at}
        data = data.model_copy(update={**closing, "line_crossed": None})
        return event.model_copy(update={**changes, "timestamp": last_seen_at, "event_data": data})
    assert isinstance(event, MotionEvent)  # noqa: S101 - nothing else is kept
    ended_at = event.timestamp + after
    data = event.event_data.model_copy(update={"duration_seconds": _seconds_between(event.timestamp, ended_at)})
    return event.model_copy(update={**changes, "timestamp": ended_at, "event_data": data})


def _seconds_between(first: datetime, last: datetime) -> float:
    return round(max((last - first).total_seconds(), 0.0), 3)
