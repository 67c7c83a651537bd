"""Cameras API with 1,000 cameras in 200 groups: p95 of lists and statistics, through Mangum.

Each device of ten cameras has sent a heartbeat, and there are a million events of 90 days. Callers log in as users: one
without a limit, one who is limited to a group, one who is limited to half of the groups. The baseline is plain SQL that
joins events, cameras and groups. ``VEDETTE_BENCH_EVENTS`` sets the number of events.
"""

from __future__ import annotations

import os
from typing import Any, Final, LiteralString

import psycopg

from cloud_functions.api.security.tokens import AccessTokens
from cloud_functions.db.connect import connect_to
from shared.clock import SystemClock
from tests.benchmarks.bench_api import days_ago
from tests.benchmarks.figures import Figure
from tests.benchmarks.filled_database import filled_database
from tests.benchmarks.request_times import Action, against_plain_sql, request_figures, time_requests
from tests.support.api_calls import Answer, ApiCalls, lambda_api
from tests.support.users import add_user, bearer

EVENTS: Final = int(os.environ.get("VEDETTE_BENCH_EVENTS", "1000000"))
CAMERAS: Final = 1000
GROUPS: Final = 200
ROUNDS: Final = 60
TARGET_MS: Final = 15.0

MAKE_EVENTS: Final[LiteralString] = """
INSERT INTO events (event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, event_data)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text), 4, 15))::uuid,
       'hq', 'device-' || camera / 10, 'camera-' || camera, kind, at, n,
       CASE kind
           WHEN 'tracking' THEN jsonb_build_object(
               'class_name', names[1 + chance %% 3], 'confidence', chance %% 997 / 997.0, 'zones', '[]'::jsonb)
           ELSE '{"motion_intensity": 0.4}'::jsonb
       END
FROM (
    SELECT n, ARRAY['person', 'car', 'dog'] AS names, hashint8(n) & 2147483647 AS chance,
           (hashint8(n + 7) & 2147483647) %% 1000 AS camera,
           (ARRAY['tracking', 'tracking', 'motion'])[1 + (hashint8(n + 13) & 2147483647) %% 3] AS kind,
           now() - make_interval(secs => 90 * 86400.0 * (%(all)s - n) / %(all)s) AS at
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
) AS made
"""
MAKE_CAMERAS: Final[LiteralString] = """
INSERT INTO camera_groups (id, slug, name)
SELECT gen_random_uuid(), 'group-' || n, 'Group ' || n FROM generate_series(0, %(groups)s - 1) AS n;
INSERT INTO cameras (id, slug, name, rtsp_url, device_id, group_id)
SELECT gen_random_uuid(), 'camera-' || n, 'Camera ' || n, 'rtsp://10.0.0.1/' || n, 'device-' || n / 10, id
FROM generate_series(0, %(cameras)s - 1) AS n JOIN camera_groups ON slug = 'group-' || n %% %(groups)s;
INSERT INTO devices (device_id, site_id, status, last_seen_at, heartbeat)
SELECT device_id, 'hq', 'online', now() + interval '1 day', jsonb_build_object('cameras', jsonb_agg(
           jsonb_build_object('camera_id', slug, 'status', 'online', 'fps_actual', 5)))
FROM cameras GROUP BY device_id;
"""
PLAIN: Final[LiteralString] = """
SELECT event_type, camera_id, count(*) FROM events
JOIN cameras ON cameras.slug = camera_id JOIN camera_groups ON camera_groups.id = cameras.group_id
WHERE camera_groups.slug = 'group-7' GROUP BY 1, 2
"""


class _User:
    """A client with the access token of one user."""

    def __init__(self, calls: ApiCalls, token: str) -> None:
        self._calls = calls
        self._headers = bearer(token)

    def get(self, path: str, **parameters: Any) -> Answer:
        return self._calls.call("GET", path, parameters, headers=self._headers)


def run() -> list[Figure]:
    with filled_database(MAKE_EVENTS, rows=EVENTS, at_once=250_000) as (url, _):
        _make_cameras(url)
        tokens = AccessTokens(clock=SystemClock())
        handler, dependencies = lambda_api(url, tokens=tokens)
        try:
            calls = ApiCalls(handler)
            half = [f"group-{number}" for number in range(GROUPS // 2)]
            users = {
                "unlimited": _User(calls, _token(url, tokens, "ana", None)),
                "1 group": _User(calls, _token(url, tokens, "ben", ["group-7"])),
                f"{len(half)} groups": _User(calls, _token(url, tokens, "cem", half)),
            }
            return _measure(url, users)
        finally:
            handler.close()
            dependencies.close()


def _make_cameras(url: str) -> None:
    numbers = {"groups": str(GROUPS), "cameras": str(CAMERAS)}
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in MAKE_CAMERAS.split(";\n"):
            if statement.strip():
                text = statement.replace("%(groups)s", numbers["groups"]).replace("%(cameras)s", numbers["cameras"])
                connection.execute(text.replace("%%", "%").encode())
        connection.execute("VACUUM ANALYZE")


def _token(url: str, tokens: AccessTokens, username: str, groups: list[str] | None) -> str:
    user_id = add_user(url, username, groups=groups)
    with connect_to(url, autocommit=False) as connection:
        return tokens.issue(connection, user_id=user_id, username=username, role="viewer", groups=groups)


def _measure(url: str, users: dict[str, _User]) -> list[Figure]:
    actions: dict[str, Action] = {}
    for name, user in users.items():
        actions |= _actions(name, user)
    _check_totals(url, users)
    measured = time_requests(url, actions, rounds=ROUNDS)
    return [
        *request_figures(measured, dict.fromkeys(actions, TARGET_MS)),
        *against_plain_sql(url, {"statistics, 1 group": PLAIN}, measured),
    ]


def _actions(name: str, user: _User) -> dict[str, Action]:
    days = {"start_time": days_ago(60.4), "end_time": days_ago(10.2)}
    return {
        f"cameras, {name}": lambda: user.get("/api/v1/cameras", page_size=50),
        f"summary, {name}": lambda: user.get("/api/v1/cameras/summary"),
        f"statistics, {name}": lambda: user.get("/api/events/stats"),
        f"statistics of 50 days, {name}": lambda: user.get("/api/events/stats", **days),
        f"statistics of a class, {name}": lambda: user.get("/api/events/stats", class_name="dog"),
        f"events, {name}": lambda: user.get("/api/events"),
    }


def _check_totals(url: str, users: dict[str, _User]) -> None:
    """Compare the totals with a count of the rows, so that no wrong result is measured."""
    conditions: dict[str, LiteralString] = {"unlimited": "true", "1 group": "slug = 'group-7'"}
    with psycopg.connect(url) as connection:
        for name, condition in conditions.items():
            query: LiteralString = "SELECT id FROM camera_groups WHERE " + condition
            row = connection.execute(
                "SELECT count(*) FROM events JOIN cameras ON slug = camera_id WHERE group_id IN (" + query + ")"
            ).fetchone()
            for path, key in (("/api/events", "total"), ("/api/events/stats", "total_events")):
                total = users[name].get(path).json()[key]
                if row is None or total != row[0]:
                    raise AssertionError(f"{path} counts {total} events for {name}, but {row} rows match")
