"""Builders of plate reads, and a recount for the plate tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.clock import format_utc
from shared.plates import normalize_plate
from tests.support.wire_events import NOON, anpr_data, wire_event


def plate_read(text: str, *, minute: float = 0, region: str | None = "ro", **fields: Any) -> dict[str, Any]:
    """Return an ``anpr`` event as a device sends it, ``minute`` after noon; data fields go into ``event_data``."""
    event_fields = {
        name: fields.pop(name) for name in ("camera_id", "site_id", "device_id", "event_id") if name in fields
    }
    confidence = fields.pop("confidence", 0.93)
    data = anpr_data(
        text,
        plate_normalized=normalize_plate(text),
        anpr_result={"license_plate": text, "confidence": confidence, "region": region},
        **fields,
    )
    return wire_event("anpr", timestamp=format_utc(NOON + timedelta(minutes=minute)), event_data=data, **event_fields)


PLATE_RECOUNT = """
WITH expected AS (
    SELECT 'read' AS what, event_id::text AS name, license_plate AS detail, "timestamp" AS at, 1 AS number
    FROM events WHERE event_type = 'anpr'
    UNION ALL SELECT 'plate', license_plate, '', NULL, count(*) FROM events WHERE event_type = 'anpr' GROUP BY 2
    UNION ALL SELECT 'camera', camera_id, site_id, NULL, count(*) FROM events WHERE event_type = 'anpr' GROUP BY 2, 3
    UNION ALL SELECT 'confidence', camera_id, site_id, NULL, sum(round(confidence::numeric * 1000000)) FROM events
    WHERE event_type = 'anpr' GROUP BY 2, 3
    UNION ALL SELECT 'latency', camera_id, site_id, NULL,
        COALESCE(sum(round((event_data ->> 'latency_ms')::numeric * 1000)), 0) FROM events
    WHERE event_type = 'anpr' GROUP BY 2, 3
    UNION ALL SELECT 'with latency', camera_id, site_id, NULL, count(event_data ->> 'latency_ms') FROM events
    WHERE event_type = 'anpr' GROUP BY 2, 3
    UNION ALL SELECT 'distinct', '', '', NULL, count(DISTINCT license_plate) FROM events
), kept AS (
    SELECT 'read' AS what, event_id::text AS name, plate_normalized_text AS detail, captured_at AS at, 1 AS number
    FROM plate_events
    UNION ALL SELECT 'plate', plate_normalized_text, '', NULL, events FROM plates WHERE events <> 0
    UNION ALL SELECT 'camera', camera_id, site_id, NULL, events FROM plate_camera_counts WHERE events <> 0
    UNION ALL SELECT 'confidence', camera_id, site_id, NULL, confidence_micros FROM plate_camera_counts
    WHERE events <> 0
    UNION ALL SELECT 'latency', camera_id, site_id, NULL, latency_micros FROM plate_camera_counts WHERE events <> 0
    UNION ALL SELECT 'with latency', camera_id, site_id, NULL, latency_events FROM plate_camera_counts WHERE events <> 0
    UNION ALL SELECT 'distinct', '', '', NULL, COALESCE(sum(plates), 0) FROM plate_distinct_counts
)
(SELECT 'kept only', * FROM (SELECT * FROM kept EXCEPT SELECT * FROM expected) AS more)
UNION ALL
(SELECT 'counted only', * FROM (SELECT * FROM expected EXCEPT SELECT * FROM kept) AS less)
"""
"""Selects the rows in which the plate tables differ from a recount; no rows if they are exact."""
