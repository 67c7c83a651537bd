"""Open stays: tracks, stays in zones and motion episodes whose start event is stored, but no end event.

A stay is recorded in the same transaction as its events, so the outbox has the open stays after a crash. The next start
stores a closing event for each, built from the last known data and the time at which it was last seen.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from shared.errors import ContractError
from shared.events import Event, MotionEvent, RuleEvent, TrackingEvent, parse_event

logger = logging.getLogger(__name__)

_IN_ZONE = "\n"
_AFTER_ZONES = "\v"
"""The next character. The keys of an object's stays in zones sort between the two."""
_WRITE_INTERVAL_S = 5.0
"""Accuracy of the last-seen time of an open stay after a crash."""


@dataclass(frozen=True, slots=True)
class OpenStay:
    """An open stay: its latest event, and how long after that event it was last seen."""

    key: str
    event: Event
    clock: int | None
    """Row of the clock that stamped the event."""
    seen_after_s: float


class LastSeenBuffer:
    """Collects last-seen times and returns them for writing every few seconds. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}
        self._written_s = 0.0

    def update(self, stays: Iterable[str], now_s: float) -> list[tuple[str, float]]:
        """Record that these stays continue; return the key and time of each one to write now, usually none."""
        with self._lock:
            self._seen.update(dict.fromkeys(stays, now_s))
            if now_s < self._written_s + _WRITE_INTERVAL_S or not self._seen:
                return []
            self._written_s = now_s
            pending, self._seen = list(self._seen.items()), {}
        return pending


def motion_stay_key(camera_id: str) -> str:
    """Return the key of a camera's motion episode. A camera has at most one at a time."""
    return f"motion of {camera_id}"


def zone_stay_key(track_uid: str, zone: str) -> str:
    """Return the key of an object's stay in a zone. It sorts after the key of the object's own stay."""
    return f"{track_uid}{_IN_ZONE}{zone}"


def record_stay(
    connection: sqlite3.Connection, event: Event, payload: bytes, *, put_at_s: float, clock: int | None
) -> None:
    """Open, refresh or close the event's stay, inside the transaction that stores the event."""
    transition = _transition(event)
    if transition is None:
        return
    key, closes = transition
    if closes:
        connection.execute("DELETE FROM open_visits WHERE visit = ?", (key,))
    else:
        connection.execute(
            "INSERT OR REPLACE INTO open_visits (visit, camera_id, clock, put_at_s, seen_at_s, payload)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (key, event.camera_id, clock, put_at_s, put_at_s, payload),
        )


def _transition(event: Event) -> tuple[str, bool] | None:
    """Return the key of the event's stay and whether the event closes it; None for an event without a stay."""
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
    """Set the last-seen time (outbox time) of stays, inside the caller's transaction. Ignores stays that are not open.

    The time of a track applies to its stays in zones too.
    """
    connection.executemany(
        "UPDATE open_visits SET seen_at_s = max(seen_at_s, ?) WHERE visit = ? OR (visit > ? AND visit < ?)",
        [(at_s, key, key + _IN_ZONE, key + _AFTER_ZONES) for key, at_s in seen],
    )


def read_open_stays(connection: sqlite3.Connection, camera_id: str | None) -> list[OpenStay]:
    """Return the open stays of one camera, or of all, in the order of their latest events.

    Deletes stays whose event cannot be parsed, for example because another version of the agent wrote it.
    """
    rows = connection.execute(
        "SELECT visit, payload, clock, seen_at_s - put_at_s FROM open_visits WHERE ? IS NULL OR camera_id = ?"
        " ORDER BY put_at_s, visit",
        (camera_id, camera_id),
    ).fetchall()
    stays: list[OpenStay] = []
    for key, payload, clock, seen_after_s in rows:
        try:
            stays.append(OpenStay(key, parse_event(payload), clock, max(float(seen_after_s), 0.0)))
        except ContractError as error:
            logger.warning("discarding the open stay %s, whose event cannot be parsed: %s", key, error)
            connection.execute("DELETE FROM open_visits WHERE visit = ?", (key,))
    return stays


def closing_event(stay: OpenStay, new_id: Callable[[], UUID]) -> Event:
    """Return the event that closes the stay: stamped with the time it was last seen, and without a snapshot."""
    event = stay.event
    after = timedelta(seconds=stay.seen_after_s)
    changes = {"event_id": new_id(), "snapshot": None, "frame_number": None}
    ended_at = event.timestamp + after
    closing: dict[str, object]
    match event:
        case TrackingEvent():
            ended_at = (event.event_data.last_seen_at or event.timestamp) + after
            dwell_s = _seconds_between(event.event_data.first_seen_at or event.timestamp, ended_at)
            closing = {"tracking_action": "left", "dwell_time_seconds": dwell_s, "last_seen_at": ended_at}
            closing["line_crossed"] = None
        case MotionEvent():
            closing = {"duration_seconds": _seconds_between(event.timestamp, ended_at)}
        case RuleEvent():
            dwell_s = _seconds_between(event.event_data.since or event.timestamp, ended_at)
            closing = {"rule": "zone_left", "dwell_s": dwell_s}
        case _:
            raise AssertionError(f"a {event.event_type} event does not open a stay")
    data = event.event_data.model_copy(update=closing)
    return event.model_copy(update={**changes, "timestamp": ended_at, "event_data": data})


def _seconds_between(first: datetime, last: datetime) -> float:
    return round(max((last - first).total_seconds(), 0.0), 3)
