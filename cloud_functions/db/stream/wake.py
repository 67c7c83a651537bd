"""The message with which the API signals to the WebSocket fan-out that a subscription waits for missed events."""

from __future__ import annotations

from typing import Final

WAKE_TYPE: Final = "subscribed"
"""Stands in the place of an event's type. No event has it."""
WAKE_MESSAGE: Final = f'{{"event_type":"{WAKE_TYPE}","camera_id":""}}'
