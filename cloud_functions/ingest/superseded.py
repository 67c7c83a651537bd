"""Deletes events that a corrected copy replaces, after the clock of their device was set.

A device whose clock is set while an event is being sent does not know whether the event was received. It sends the
event again with the same ``event_id`` and the corrected time, and lists the earlier times in
``superseded_timestamps``. The key of the table includes the time, so otherwise the table would hold both.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import psycopg

from shared.clock import format_utc
from shared.event_dicts import EventDict

FIELD: Final = "superseded_timestamps"
MAX_TIMES: Final = 32
"""Only the last 32 times of an event are used: the device sets the field, and nothing else limits its length."""


def superseded_times(event: EventDict) -> tuple[str, ...]:
    """Return the earlier times of the event; entries that are not times are ignored."""
    value = event.get(FIELD)
    if not isinstance(value, list):
        return ()
    times: list[str] = []
    for text in value[-MAX_TIMES:]:
        try:
            times.append(format_utc(datetime.fromisoformat(text)))
        except (TypeError, ValueError, OverflowError):
            continue
    return tuple(times)


def delete_superseded(
    connection: psycopg.Connection[Any], corrected: Iterable[tuple[str, str, str, tuple[str, ...]]]
) -> None:
    """Delete the earlier copies of corrected events in the caller's transaction; triggers update the counts.

    ``corrected``: event id, device id, corrected time, earlier times. Only events of the same device are deleted.
    """
    for event_id, device_id, timestamp, times in corrected:
        connection.execute(
            'DELETE FROM events WHERE event_id = %s::uuid AND "timestamp" = ANY(%s::timestamptz[])'
            ' AND device_id = %s AND "timestamp" <> %s::timestamptz',
            (event_id, list(times), device_id, timestamp),
        )
