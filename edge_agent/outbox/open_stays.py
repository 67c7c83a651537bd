"""Visits, stays in zones and motion episodes that an event has opened and none has closed yet.

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
from shared.events import Event, MotionEvent, RuleEvent, TrackingEvent, parse_event

logger = logging.getLogger(__name__)

_IN_ZONE = "\n"
_BEHIND_ZONES = "\v"
"""The next character: between the two lie an object's stays in zones."""


@dataclass(frozen=True, slots=True)
class OpenStay:
    """One that is open: its latest event, and how long after that event it was last seen."""

    visit: str
    event: Event
    clock: int | None
    seen_after_s: float


def motion_stay_key(camera_id: str) -> str:
    """Name a camera's motion episode among the visits; there is one at a time."""
    return f"motion of {camera_id}"


def zone_stay_key(track_uid: str, zone: str) -> str:
    """Name an object's stay in a zone among the visits; it sorts behind the object's own."""
    return f"{track_uid}{_IN_ZONE}{zone}"


def record_stay(
    connection: sqlite3.Connection, event: Event, payload: bytes, *, put_at_s: float, clock: int | None
) -> None:
    """Open, refresh or close the event's visit, inside the transaction that stores the event."""
    step = _step(event)
    if step is None:
        return
    visit, closes = step
    if closes:
        connection.execute("DELETE FROM open_visits WHERE visit = ?", (visit,))
    else:
        connection.execute(
            "INSERT OR REPLACE INTO open_visits (visit, camera_id, clock, put_at_s, seen_at_s, payload)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (visit, event.camera_id, clock, put_at_s, put_at_s, payload),
        )


def _step(event: Event) -> tuple[str, bool] | None:
    """Return which visit the event belongs to, and whether it closes it; None where it belongs to none."""
    match event:
        case TrackingEvent():
            return event.event_data.track_uid, event.event_data.tracking_action == "left"
        case MotionEvent():
            return motion_stay_key(event.camera_id), event.event_data.duration_seconds is not None
        case RuleEvent() if event.event_data.rule in {"zone_entered", "zone_left"} and event.event_data.track_uid:
            data = event.event_data
            return zone_stay_key(str(data.track_uid), data.zone or data.name), data.rule == "zone_left"
        case _:
            return None


def update_last_seen(connection: sqlite3.Connection, seen: Iterable[tuple[str, float]]) -> None:
    """Set when visits were last seen (outbox time), inside the caller's transaction; one not open is passed over."""
    connection.executemany(
        "UPDATE open_visits SET seen_at_s = max(seen_at_s, ?) WHERE visit = ? OR (visit > ? AND visit < ?)",
        [(at_s, visit, visit + _IN_ZONE, visit + _BEHIND_ZONES) for visit, at_s in seen],
    )


def read_open_stays(connection: sqlite3.Connection, camera_id: str | None) -> list[OpenStay]:
    """Return the open visits of one camera, or of all, in the order of their latest events.

    One that cannot be read (written by another version of the agent) is forgotten.
    """
    rows = connection.execute(
        "SELECT visit, payload, clock, seen_at_s - put_at_s FROM open_visits WHERE ? IS NULL OR camera_id = ?"
        " ORDER BY put_at_s, visit",
        (camera_id, camera_id),
    ).fetchall()
    found: list[OpenStay] = []
    for visit, payload, clock, seen_after_s in rows:
        try:
            found.append(OpenStay(visit, parse_event(payload), clock, max(float(seen_after_s), 0.0)))
        except ContractError as error:
            logger.warning("the open visit %s is forgotten, its event cannot be read: %s", visit, error)
            connection.execute("DELETE FROM open_visits WHERE visit = ?", (visit,))
    return found


def closing_event(open_visit: OpenStay, new_id: Callable[[], UUID]) -> Event:
    """Return the event that closes the visit: stamped with the time of the last sighting, and without a picture."""
    event = open_visit.event
    after = timedelta(seconds=open_visit.seen_after_s)
    changes = {"event_id": new_id(), "snapshot": None, "frame_number": None}
    ended_at = event.timestamp + after
    closing: dict[str, object]
    match event:
        case TrackingEvent():
            ended_at = (event.event_data.last_seen_at or event.timestamp) + after
            stayed_s = _seconds_between(event.event_data.first_seen_at or event.timestamp, ended_at)
            closing = {"tracking_action": "left", "dwell_time_seconds": stayed_s, "last_seen_at": ended_at}
            closing["line_crossed"] = None
        case MotionEvent():
            closing = {"duration_seconds": _seconds_between(event.timestamp, ended_at)}
        case RuleEvent():
            stayed_s = _seconds_between(event.event_data.since or event.timestamp, ended_at)
            closing = {"rule": "zone_left", "dwell_s": stayed_s}
        case _:
            raise AssertionError(f"a {event.event_type} event opens nothing")
    data = event.event_data.model_copy(update=closing)
    return event.model_copy(update={**changes, "timestamp": ended_at, "event_data": data})


def _seconds_between(first: datetime, last: datetime) -> float:
    return round(max((last - first).total_seconds(), 0.0), 3)
