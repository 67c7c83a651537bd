"""Deletes events that a corrected copy replaces, after the clock of their device was set.

A device whose clock is set while an event is being sent does not know whether the event was received. It sends the
event again with the same ``event_id`` and the corrected time, and lists the earlier times in
``superseded_timestamps``. The key of the table includes the time, so otherwise the table would hold both.

A legal hold keeps the stored copy as it is, whatever its device says about its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString

import psycopg

from cloud_functions.db.retention.protection import EVENT_NOT_HELD, lock_holds

_DELETE: Final[LiteralString] = (
    'DELETE FROM events WHERE event_id = %s::uuid AND "timestamp" = ANY(%s::timestamptz[])'  # noqa: S608 - constants
    ' AND device_id = %s AND "timestamp" <> %s::timestamptz AND ' + EVENT_NOT_HELD
)


def delete_superseded(
    connection: psycopg.Connection[Any], corrected: Sequence[tuple[str, str, str, tuple[str, ...]]]
) -> None:
    """Delete the earlier copies of corrected events in the caller's transaction; triggers update the counts.

    ``corrected``: event id, device id, corrected time, earlier times. Only events of the same device
    that are not on hold are deleted.
    """
    if not corrected:
        return
    lock_holds(connection)
    for event_id, device_id, timestamp, times in corrected:
        connection.execute(_DELETE, (event_id, list(times), device_id, timestamp))
