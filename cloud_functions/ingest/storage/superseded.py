"""Deletes events that a corrected copy replaces, after the clock of their device was set.

A device whose clock is set while an event is being sent does not know whether the event was received. It sends the
event again with the same ``event_id`` and the corrected time, and lists the earlier times in
``superseded_timestamps``. The key of the table includes the time, so otherwise the table would hold both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg


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
