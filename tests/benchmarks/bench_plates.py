"""Plates with two million reads: fuzzy search, the other searches and statistics, through the warm Lambda handler.

The baseline is plain SQL on the same data in the same run. The reads are inserted into a temporary PostgreSQL with the
triggers that update the plate tables: half of the reads are of frequent plates, half of rare ones, in four formats. The
cost of a watch-list of 10,000 patterns in ingest is measured with the same batches through two handlers in alternation,
one with and one without the list. ``VEDETTE_BENCH_PLATES`` sets the number of reads (100000 for a quick run).
"""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg

from cloud_functions.db.migrate import upgrade
from cloud_functions.db.watchlists import add_patterns, create_watchlist
from cloud_functions.ingest.handler import build_ingest
from cloud_functions.ingest.ingest import Ingest
from infra.local.servers.postgres import PostgresServer
from tests.benchmarks.figures import Figure
from tests.benchmarks.filled_database import LARGE, database_server, filled_database
from tests.benchmarks.ingest_contest import DiscardingPublisher, in_turn
from tests.benchmarks.plate_lists import any_plate, many_patterns
from tests.benchmarks.request_times import Action, against_plain_sql, request_figures, time_requests
from tests.support.api_calls import Answer, ApiCalls, lambda_api
from tests.support.wire_events import batch, mixed_traffic

READS = int(os.environ.get("VEDETTE_BENCH_PLATES", "2000000"))
ROUNDS = 100
PATTERNS = 10_000
WATCH_BATCH = 1000
WATCH_ROUNDS = 60
WATCH_WARM_UP = 3
"""Batches that are not measured, in which the handler loads its patterns."""
INSERT_AT_ONCE = 100_000
EDITABLE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

MAKE_READS: LiteralString = """
INSERT INTO events (event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, snapshot_path,
                    event_data)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text), 4, 15))::uuid,
       'site-' || camera %% 5, 'device-' || camera %% 25, 'camera-' || camera, 'anpr', at, n,
       'camera-' || camera || '/' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD/"anpr"_HH24MISS_US') || '.jpg',
       jsonb_build_object('plate_normalized', plate, 'reads', 5, 'latency_ms', 100 + n %% 500, 'direction', 'in',
           'vehicle', jsonb_build_object('type', 'car', 'make', NULL, 'model', NULL, 'color', 'blue'),
           'plate_box', '{"x": 0.1, "y": 0.2, "width": 0.1, "height": 0.03}'::jsonb,
           'anpr_result', jsonb_build_object('license_plate', plate, 'confidence', 0.5 + (n %% 50) / 100.0,
                                             'region', (ARRAY['ro', 'de', 'gb', 'br'])[1 + format]))
FROM (
    SELECT n, format, camera, at, CASE format
        WHEN 0 THEN (ARRAY['B', 'CJ', 'TM', 'IS'])[1 + h %% 4] || lpad((h / 4 %% 1000)::text, 3, '0')
                    || l[1] || l[2] || l[3]
        WHEN 1 THEN (ARRAY['M', 'HH', 'K', 'BN'])[1 + h %% 4] || l[1] || l[2] || (h / 4 %% 9000 + 1000)
        WHEN 2 THEN l[1] || l[2] || lpad((h %% 74)::text, 2, '0') || l[3] || l[4] || l[5]
        ELSE l[1] || l[2] || l[3] || h %% 10 || l[4] || lpad((h / 16 %% 100)::text, 2, '0')
        END AS plate
    FROM (
        SELECT n, vehicle %% 4 AS format, (hashint8(n + 7) & 2147483647) %% 50 AS camera,
               hashint8(vehicle) & 2147483647 AS h,
               (SELECT array_agg(chr(65 + (hashint8(vehicle * 8 + k) & 2147483647) %% 26))
                FROM generate_series(1, 5) AS k) AS l,
               now() - make_interval(secs => 90 * 86400.0 * (%(all)s - n) / %(all)s) AS at
        FROM (
            SELECT n, CASE WHEN n %% 2 = 0 THEN (hashint8(n) & 2147483647) %% 20000
                           ELSE (hashint8(n) & 2147483647) %% 2000000 END AS vehicle
            FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
        ) AS seen
    ) AS spelt
) AS made
"""
NAIVE_FUZZY: LiteralString = """
SELECT plate_normalized_text, similarity(plate_normalized_text, %(plate)s) FROM plate_events
WHERE similarity(plate_normalized_text, %(plate)s) >= 0.3 ORDER BY 2 DESC LIMIT 50
"""
NAIVE_STATISTICS: LiteralString = """
SELECT count(*), count(DISTINCT plate_normalized_text), count(DISTINCT camera_id), avg(confidence), avg(latency_ms)
FROM plate_events
"""


def run() -> list[Figure]:
    with filled_database(MAKE_READS, rows=READS, at_once=INSERT_AT_ONCE) as (url, make_s):
        handler, dependencies = lambda_api(url)
        try:
            figures = _measure(url, ApiCalls(handler))
        finally:
            handler.close()
            dependencies.close()
    made = Figure(f"making {READS:,} reads, plates kept", READS / make_s, "reads/s", better="higher")
    return [made, *figures, *watched_ingest()]


def watched_ingest() -> list[Figure]:
    """Measure the cost of 10,000 patterns in ingest: the same batches with and without the watch-list in turn."""
    with database_server(durable=False, settings=LARGE) as server:
        ingests = {name: _ingest(server, name, patterns) for name, patterns in (("with", PATTERNS), ("without", 0))}
        spent = in_turn(ingests, _new_plates(WATCH_ROUNDS + WATCH_WARM_UP), warm_up=WATCH_WARM_UP)
    plain = statistics.median(spent.clock["without"])
    cpu = spent.median_processor_s("without")
    added = spent.median_processor_s("with") - cpu
    note = (
        f"batch of {WATCH_BATCH}, a tenth of them plates never seen before; {plain * 1000:.0f} ms without;"
        f" CPU of the handler {cpu * 1000:.1f} ms, with {added * 1000:+.1f} ms"
    )
    return [
        Figure(
            f"ingest with {PATTERNS:,} patterns, of without",
            spent.ratio("with", "without"),
            "ratio",
            target=1.10,
            note=note,
        )
    ]


def _new_plates(batches: int) -> Iterator[dict[str, Any]]:
    """Return mixed traffic with new plates."""
    chance = random.Random(2)
    for number in range(batches):
        events = mixed_traffic(WATCH_BATCH, seed=number, first_sequence=1 + number * WATCH_BATCH // 5)
        for event in events:
            if event["event_type"] == "anpr":
                event["event_data"] |= {"plate_normalized": any_plate(chance)}
        yield batch(events)


def _ingest(server: PostgresServer, name: str, patterns: int) -> Ingest:
    server.create_database(name)
    url = server.url_of(name)
    upgrade(url)
    if patterns:
        with psycopg.connect(url) as connection:
            made = create_watchlist(connection, name="all", description=None, enabled=True)
            add_patterns(connection, made.watchlist_id, many_patterns(patterns))
    return build_ingest({"DATABASE_URL": url}, publisher=DiscardingPublisher())


def _measure(url: str, api: ApiCalls) -> list[Figure]:
    chance = random.Random(1)
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*), max(plate_normalized_text) FROM plates").fetchone()
        stored: list[str] = [
            plate
            for (plate,) in connection.execute(
                "SELECT plate_normalized_text FROM plate_events WHERE id %% %(step)s = 0 LIMIT 2000",
                {"step": max(1, READS // 2000)},
            )
        ]
    distinct = 0 if row is None else row[0]
    recalled: list[bool] = []

    def mistaken() -> tuple[str, str]:
        plate = chance.choice(stored)
        place = chance.randrange(len(plate))
        return plate, plate[:place] + chance.choice(EDITABLE) + plate[place + 1 :]

    def fuzzy(**conditions: str) -> Answer:
        plate, query = mistaken()
        answer = api.get("/api/plates", plate=query, match="fuzzy", limit=500, **conditions)
        if not conditions:
            recalled.append(any(read["plate_normalized_text"] == plate for read in answer.json()["plates"]))
        return answer

    actions: dict[str, Action] = {
        "fuzzy search, one edit": lambda: api.get("/api/plates", plate=mistaken()[1], match="fuzzy"),
        "fuzzy search, all of the reads": fuzzy,
        "fuzzy search at one camera": lambda: fuzzy(camera_id="camera-7"),
        "exact search": lambda: api.get("/api/plates", plate=chance.choice(stored)),
        "prefix of three": lambda: api.get("/api/plates", plate=chance.choice(stored)[:3], match="prefix"),
        "prefix of five": lambda: api.get("/api/plates", plate=chance.choice(stored)[:5], match="prefix"),
        "history": lambda: api.get(f"/api/plates/{chance.choice(stored)}"),
        "newest of a camera": lambda: api.get("/api/plates", camera_id="camera-7"),
        "statistics": lambda: api.get("/api/plates/stats"),
    }
    targets = {"fuzzy search, one edit": 10.0, "statistics": 10.0}
    measured = time_requests(url, actions, rounds=ROUNDS)
    figures = [Figure("distinct plates", distinct, "plates"), *request_figures(measured, targets)]
    figures.append(Figure("one edit away, found", 100 * statistics.mean(recalled), "%", target=97.0, better="higher"))
    plain: dict[str, LiteralString] = {"fuzzy search, one edit": NAIVE_FUZZY, "statistics": NAIVE_STATISTICS}
    return figures + against_plain_sql(url, plain, measured, plate=stored[0])
