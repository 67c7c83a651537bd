"""Token buckets of the cameras for fan-out: one for all processes of ingest, so that the limit is that of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloud_functions.db.types import Connection

Camera = tuple[str, str]
"""``site_id`` and ``camera_id``."""

# EXCLUDED.granted is what the batch asks for. The rows are locked in one order, so batches do not deadlock.
_TAKE: Final = """
INSERT INTO fanout_rates AS bucket (site_id, camera_id, tokens, granted, refilled_at)
SELECT site_id, camera_id, %(burst)s - least(events, %(burst)s), least(events, %(burst)s), clock_timestamp()
FROM unnest(%(sites)s::text[], %(cameras)s::text[], %(events)s::integer[]) AS asked (site_id, camera_id, events)
ORDER BY site_id, camera_id
ON CONFLICT (site_id, camera_id) DO UPDATE SET (tokens, granted, refilled_at) = (
    SELECT filled - least(EXCLUDED.granted, floor(filled)), least(EXCLUDED.granted, floor(filled)),
        greatest(bucket.refilled_at, EXCLUDED.refilled_at)
    FROM (SELECT least(%(burst)s, bucket.tokens + %(per_s)s
        * greatest(extract(epoch FROM EXCLUDED.refilled_at - bucket.refilled_at)::float8, 0)) AS filled) AS now)
RETURNING site_id, camera_id, granted
"""


def take_tokens(connection: Connection, asked: Mapping[Camera, int], *, per_s: float, burst: int) -> dict[Camera, int]:
    """Take a token for each event that cameras want to publish; return for how many of each there was one.

    ``per_s``: tokens that a camera gets in a second. ``burst``: the most that it can save.
    """
    parameters = {
        "sites": [site_id for site_id, _ in asked],
        "cameras": [camera_id for _, camera_id in asked],
        "events": [*asked.values()],
        "per_s": per_s,
        "burst": burst,
    }
    rows = connection.execute(_TAKE, parameters)
    return {(site_id, camera_id): granted for site_id, camera_id, granted in rows}
