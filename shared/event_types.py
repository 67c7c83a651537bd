"""The list of event types. The event union is tested against it; the API filter, the demo and the tests use it."""

from __future__ import annotations

from typing import Final, Literal, get_args

EventType = Literal["tracking", "motion", "detection", "anpr", "snapshot", "camera_status", "rule"]
EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
CANARY: Final = "canary"
"""The type of a canary on the topic and on queues. It is no event: it is not stored with them, nor sent to users."""
