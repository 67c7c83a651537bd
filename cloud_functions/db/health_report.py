"""The health report: cameras and devices by status, and those that need attention. One is stored for each day."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from cloud_functions.db.cameras.record import WITH_STATES
from cloud_functions.db.cameras.scope import CAMERA_IN_SCOPE, DEVICE_IN_SCOPE, CameraScope, limited, scope_parameters
from cloud_functions.db.devices.canaries import LATE_S
from cloud_functions.db.maintenance.runs import task_states
from cloud_functions.db.online import IS_ONLINE
from cloud_functions.db.snapshots.object_checks import object_report
from cloud_functions.db.types import Connection, Row
from shared.clock import format_utc

MAX_LISTED: Final = 50
"""Maximum entries of each list."""
STATUSES: Final = ("idle", "live", "degraded", "offline")

# ``{cameras}`` and ``{devices}`` are the conditions of a limit to camera groups; empty without one.
_BY_STATUS: Final = "SELECT status, count(*) FROM states WHERE true{cameras} GROUP BY status"
_CAMERAS: Final = WITH_STATES + _BY_STATUS
# A camera is offline since its first record after the last one with another status. A camera without such a record
# never was connected, as far as the history goes back.
_LONGEST: Final = """
SELECT s.id::text, s.slug, s.name, s.device_id, coalesce(began.at, s.last_connected) AS since, began.error
FROM states AS s
LEFT JOIN LATERAL (
    SELECT last_check AS at, error FROM camera_health AS first
    WHERE first.camera_id = s.id AND first.status = 'offline' AND first.last_check > coalesce((
        SELECT max(last_check) FROM camera_health AS other
        WHERE other.camera_id = s.id AND other.status <> 'offline'), '-infinity')
    ORDER BY last_check LIMIT 1
) AS began ON true
WHERE s.status = 'offline'{cameras} ORDER BY since NULLS FIRST, s.slug LIMIT %(most)s
"""
_OFFLINE: Final = WITH_STATES + _LONGEST
_DEVICES: Final = """
SELECT count(*), count(*) FILTER (WHERE is_online) FROM devices WHERE true{devices}
""".replace("is_online", IS_ONLINE)
_DROPPED: Final = """
SELECT device_id, (heartbeat #>> '{outbox,dropped_events}')::numeric::bigint AS events,
       coalesce((heartbeat #>> '{outbox,dropped_images}')::numeric::bigint, 0) AS images
FROM devices
WHERE ((heartbeat #>> '{outbox,dropped_events}')::numeric > 0
    OR (heartbeat #>> '{outbox,dropped_images}')::numeric > 0){devices}
ORDER BY events DESC, images DESC, device_id LIMIT %(most)s
"""
_GAPS: Final = """
SELECT device_id, count(*), sum((SELECT sum(upper(part) - lower(part)) FROM unnest(missing) AS part))::bigint AS events,
       min(opened_at)
FROM sequence_gaps WHERE state = 'open'{devices} GROUP BY device_id ORDER BY events DESC, device_id LIMIT %(most)s
"""
_GAP_TOTALS: Final = """
SELECT count(*), coalesce(sum((SELECT sum(upper(part) - lower(part)) FROM unnest(missing) AS part)), 0)::bigint
FROM sequence_gaps WHERE state = 'open'{devices}
"""
_CANARIES: Final = f"""
SELECT device_id, received_at, every_s FROM canary_receipts WHERE {LATE_S} > 0{{devices}}
ORDER BY received_at NULLS FIRST, device_id LIMIT %(most)s
"""  # noqa: S608
_STORE: Final = """
INSERT INTO health_reports (day, report) VALUES (%s, %s)
ON CONFLICT (day) DO UPDATE SET report = EXCLUDED.report, created_at = now()
"""


def build_health_report(connection: Connection, *, now: datetime, scope: CameraScope | None = None) -> dict[str, Any]:
    """Return the report as JSON values; times are RFC 3339.

    With ``scope``, the report of its cameras and of the devices that they are assigned to, without maintenance.
    """

    def rows(query: LiteralString) -> list[Row]:
        text = query.replace("{cameras}", limited(CAMERA_IN_SCOPE, scope))
        text = text.replace("{devices}", limited(DEVICE_IN_SCOPE, scope))
        return connection.execute(text, {"most": MAX_LISTED} | scope_parameters(scope)).fetchall()

    by_status = dict.fromkeys(STATUSES, 0) | dict(rows(_CAMERAS))
    [(total, online)] = rows(_DEVICES)
    [(gaps, missing)] = rows(_GAP_TOTALS)
    return {
        "generated_at": format_utc(now),
        "cameras": {"total": sum(by_status.values()), "by_status": by_status},
        "offline_cameras": [
            {
                "id": camera_id,
                "slug": slug,
                "name": name,
                "device_id": device_id,
                "offline_since": None if since is None else format_utc(since),
                "error": error,
            }
            for camera_id, slug, name, device_id, since, error in rows(_OFFLINE)
        ],
        "devices": {"total": total, "online": online, "offline": total - online},
        "devices_with_dropped_data": [
            {"device_id": device_id, "dropped_events": events, "dropped_images": images}
            for device_id, events, images in rows(_DROPPED)
        ],
        "late_canaries": [
            {
                "device_id": device_id,
                "last_received_at": None if received_at is None else format_utc(received_at),
                "every_s": every_s,
            }
            for device_id, received_at, every_s in rows(_CANARIES)
        ],
        "gaps": {"open": gaps, "missing_events": missing},
        "devices_with_gaps": [
            {"device_id": device_id, "open": count, "missing_events": events, "oldest": format_utc(oldest)}
            for device_id, count, events, oldest in rows(_GAPS)
        ],
        "maintenance": None if scope is not None else {"tasks": task_states(connection, now=now)},
        "objects": None if scope is not None else object_report(connection, most=MAX_LISTED),
    }


def store_health_report(connection: Connection, day: date, report: dict[str, Any]) -> None:
    """Store the report of a day; replace one that is stored."""
    connection.execute(_STORE, [day, Jsonb(report)])


def find_health_report(connection: Connection, day: date) -> dict[str, Any] | None:
    """Return the stored report of a day, or None."""
    row = connection.execute("SELECT report FROM health_reports WHERE day = %s", [day]).fetchone()
    return None if row is None else row[0]


def purge_old_reports(connection: Connection, *, now: datetime, older_than: timedelta) -> int:
    """Delete the reports of days that are older than ``older_than``; return how many."""
    return connection.execute("DELETE FROM health_reports WHERE day < %s", [(now - older_than).date()]).rowcount
