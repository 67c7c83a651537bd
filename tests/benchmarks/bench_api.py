"""Events API with five million rows: p95 of a list, of statistics and of one event, through the warm Lambda handler.

The baseline is plain SQL on the same data in the same run: ``count(*)`` and a page by OFFSET, and ``GROUP BY`` over the
table. The rows are inserted into a temporary PostgreSQL: 90 days, 50 cameras, with the triggers that update the
rollups.
``VEDETTE_BENCH_EVENTS`` sets the number of rows (100000 for a quick run).
"""

from __future__ import annotations

import os
import random
import time
from typing import LiteralString

import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.filled_database import filled_database
from tests.benchmarks.request_times import Action, against_plain_sql, request_figures, time_requests
from tests.support.api_calls import Answer, ApiCalls, lambda_api

EVENTS = int(os.environ.get("VEDETTE_BENCH_EVENTS", "5000000"))
ROUNDS = 60
INSERT_AT_ONCE = 250_000

MAKE_EVENTS: LiteralString = """
INSERT INTO events (event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, snapshot_path,
                    event_data)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text), 4, 15))::uuid,
       'site-' || camera %% 5, 'device-' || camera %% 25, 'camera-' || camera, kind, at, n,
       'camera-' || camera || '/' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD/"tracking"_HH24MISS_US') || '.jpg',
       CASE kind
           WHEN 'tracking' THEN jsonb_build_object(
               'track_id', n, 'track_uid', 'gate-' || n, 'tracking_action', 'updated',
               'class_name', CASE WHEN chance %% 1000 = 0 THEN 'zebra' ELSE names[1 + chance %% 3] END,
               'confidence', chance %% 997 / 997.0,
               'bounding_box', '{"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}'::jsonb,
               'zones', CASE WHEN chance %% 10 = 0 THEN '["driveway"]' ELSE '[]' END::jsonb,
               'model_info', '{"model_type": "ssd_mobilenet_v1", "version": "1"}'::jsonb)
           WHEN 'detection' THEN jsonb_build_object('detections', jsonb_build_array(jsonb_build_object(
               'class_name', names[1 + chance %% 3], 'confidence', chance %% 997 / 997.0)))
           WHEN 'anpr' THEN jsonb_build_object('plate_normalized', 'B' || chance %% 30000,
               'anpr_result', jsonb_build_object('license_plate', 'B ' || chance %% 30000, 'confidence', 0.9))
           ELSE '{"motion_intensity": 0.4, "affected_area_percentage": 12.5, "regions": []}'::jsonb
       END
FROM (
    SELECT n, ARRAY['person', 'car', 'dog'] AS names, hashint8(n) & 2147483647 AS chance,
           (hashint8(n + 7) & 2147483647) %% 50 AS camera,
           (ARRAY['tracking', 'tracking', 'tracking', 'tracking', 'tracking', 'tracking', 'motion', 'motion',
                  'detection', 'anpr'])[1 + (hashint8(n + 13) & 2147483647) %% 10] AS kind,
           now() - make_interval(secs => 90 * 86400.0 * (%(all)s - n) / %(all)s) AS at
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
) AS made
"""
NAIVE_LIST: LiteralString = """
SELECT count(*) OVER () AS total, * FROM events WHERE camera_id = 'camera-7' AND event_type = 'tracking'
ORDER BY "timestamp" DESC LIMIT 50
"""
NAIVE_STATISTICS: LiteralString = "SELECT event_type, camera_id, count(*) FROM events GROUP BY 1, 2"


def run() -> list[Figure]:
    with filled_database(MAKE_EVENTS, rows=EVENTS, at_once=INSERT_AT_ONCE) as (url, make_s):
        handler, dependencies = lambda_api(url)
        try:
            figures = _measure(url, ApiCalls(handler))
        finally:
            handler.close()
            dependencies.close()
    return [Figure(f"making {EVENTS:,} events, counts kept", EVENTS / make_s, "events/s", better="higher"), *figures]


def _measure(url: str, api: ApiCalls) -> list[Figure]:
    chance = random.Random(1)

    def any_event() -> Answer:
        return api.get(f"/api/events/{chance.randint(1, EVENTS)}")

    def walk() -> Answer:
        return api.get("/api/events", cursor=api.get("/api/events", page=1 + EVENTS // 80).json()["next_cursor"])

    middle = {"start_time": days_ago(60.4), "end_time": days_ago(10.2)}
    listing: dict[str, Action] = {
        "list, no condition": lambda: api.get("/api/events"),
        "list, camera and type": lambda: api.get("/api/events", camera_id="camera-7", event_type="tracking"),
        "list, 50 days": lambda: api.get("/api/events", **middle),
        "list, camera and class": lambda: api.get("/api/events", camera_id="camera-7", class_name="dog"),
        "list, a rare class": lambda: api.get("/api/events", class_name="zebra"),
        "list, a plate": lambda: api.get("/api/events", license_plate="B 1234"),
        "list, the middle page": lambda: api.get("/api/events", page=EVENTS // 100),
        "list, camera and confidence": lambda: api.get("/api/events", camera_id="camera-7", min_confidence=0.9),
        "list, confidence": lambda: api.get("/api/events", min_confidence=0.8),
        "list, class and confidence": lambda: api.get("/api/events", class_name="dog", min_confidence=0.8),
    }
    stats: dict[str, Action] = {
        "statistics, everything": lambda: api.get("/api/events/stats"),
        "statistics, 50 days": lambda: api.get("/api/events/stats", **middle),
        "statistics, class and confidence": lambda: api.get("/api/events/stats", class_name="dog", min_confidence=0.8),
    }
    one: dict[str, Action] = {"one event": any_event}
    _check_totals(url, api, middle)
    all_of_them = listing | stats | one | {"two list pages, by page and by cursor": walk}
    measured = time_requests(url, all_of_them, rounds=ROUNDS)
    targets = dict.fromkeys(listing, 15.0) | dict.fromkeys(stats, 20.0) | {"one event": 5.0}
    plain: dict[str, LiteralString] = {"list, camera and type": NAIVE_LIST, "statistics, everything": NAIVE_STATISTICS}
    return [*request_figures(measured, targets), *against_plain_sql(url, plain, measured)]


def _check_totals(url: str, api: ApiCalls, middle: dict[str, str]) -> None:
    """Compare the totals with a count of the rows, so that no wrong result is measured."""
    checks: list[tuple[LiteralString, dict[str, str]]] = [
        ("true", {}),
        ("camera_id = 'camera-7' AND event_type = 'tracking'", {"camera_id": "camera-7", "event_type": "tracking"}),
        ("class_names ? 'zebra'", {"class_name": "zebra"}),
        ("camera_id = 'camera-7' AND confidence >= 0.9", {"camera_id": "camera-7", "min_confidence": "0.9"}),
        ("class_names ? 'dog' AND confidence >= 0.8", {"class_name": "dog", "min_confidence": "0.8"}),
        ('"timestamp" BETWEEN %(start_time)s AND %(end_time)s', middle),
    ]
    with psycopg.connect(url) as connection:
        for condition, conditions in checks:
            row = connection.execute(f"SELECT count(*) FROM events WHERE {condition}", conditions or None).fetchone()
            total = api.get("/api/events", **conditions).json()["total"]
            if row is None or total != row[0]:
                raise AssertionError(f"the total for {conditions} is {total}, but {row} rows match")


def days_ago(days: float) -> str:
    """Return the time that many days ago as the API reads it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86_400))
