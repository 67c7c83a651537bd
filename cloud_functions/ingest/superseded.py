"""Events whose time was corrected after the device had sent them: the corrected one replaces the first.

A device whose clock is set while an event is on its way does not know whether the event was received. It sends it again
under the same ``event_id`` with the right time, and names the times that it had before in ``superseded_timestamps``.
The events' key holds the time, so that without this the table would hold both.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import psycopg

from shared.clock import format_utc
from shared.event_dicts import EventDict

FIELD: Final = "superseded_timestamps"
MOST: Final = 32
"""More corrections than this of one event are not looked at: the field is the device's, and not checked elsewhere."""


def superseded_times(event: EventDict) -> tuple[str, ...]:
    """Return the times that the event had before; what is no such list is passed over."""
    told = event.get(FIELD)
    if not isinstance(told, list):
        return ()
    times: list[str] = []
    for text in told[-MOST:]:
        try:
            times.append(format_utc(datetime.fromisoformat(text)))
        except (TypeError, ValueError, OverflowError):
            continue
    return tuple(times)


def delete_superseded(
    connection: psycopg.Connection[Any], corrected: Iterable[tuple[str, str, str, tuple[str, ...]]]
) -> None:
    """Delete what corrected events replace, in the caller's transaction; triggers keep the counts right in it.

    ``corrected``: event id, device, the right time, and the times before. Only the device's own events go.
    """
    for event_id, device_id, timestamp, times in corrected:
        connection.execute(
            'DELETE FROM events WHERE event_id = %s::uuid AND "timestamp" = ANY(%s::timestamptz[])'
            ' AND device_id = %s AND "timestamp" <> %s::timestamptz',
            (event_id, list(times), device_id, timestamp),
        )
