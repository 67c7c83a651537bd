"""The one list of event types: the wire contract, the API, the console and the tests derive theirs from it."""

from __future__ import annotations

from typing import Final, Literal, get_args

EventType = Literal["tracking", "motion", "detection", "anpr", "snapshot", "camera_status", "rule"]
EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
