"""Retention of many events with pictures: how long a concurrent ingest waits while the task is killed at random.

``BENCH_RETENTION_EVENTS`` is the number of events (default 200,000; ten million need about 30 GB of disk). Policies by
age and by size delete most of them, a legal hold keeps some. The task is killed with SIGKILL at random times and run
again until it has finished; then rows and objects must be in step. The bucket is a table of another database.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg

from cloud_functions.db.migrate import upgrade
from cloud_functions.db.retention.holds import HeldItem, NewHold, place_hold
from cloud_functions.db.retention.policies import PolicyFields, create_policy
from cloud_functions.ingest.handler import build_ingest
from shared.clock import format_utc
from tests.benchmarks.bench_ingest import CountingPublisher
from tests.benchmarks.figures import Figure
from tests.benchmarks.filled_database import LARGE, database_server
from tests.support.wire_events import batch, wire_event

EVENTS: Final = int(os.environ.get("BENCH_RETENTION_EVENTS", "200000"))
KILLS: Final = 20
_AT_ONCE: Final = 10_000
_TARGET_MS: Final = 200.0

_FILL: Final = """
INSERT INTO events
    (event_id, site_id, device_id, camera_id, event_type, "timestamp", snapshot_path, snapshot, event_data)
SELECT gen_random_uuid(), 'hq', 'cam-' || mod(n, 20), 'cam-' || mod(n, 20), 'tracking', at,
       'cam-' || mod(n, 20) || to_char(at AT TIME ZONE 'UTC', '/YYYY-MM-DD"/tracking_"HH24MISS_US".jpg"'),
       '{"bytes": 20000}',
       '{"class_name": "person", "confidence": 0.8, "zones": ["gate"], "track_id": 1}'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
     LATERAL (SELECT %(now)s - interval '120 days' + (n::float8 / %(all)s) * interval '119 days' AS at) AS time
"""
_MONTHS: Final = "SELECT events_ensure_partition(now() - make_interval(months => n)) FROM generate_series(0, 5) AS n"
_OBJECTS: Final = """
COPY (SELECT root || device_id || '/' || snapshot_path
      FROM events, (VALUES ('snapshots/'), ('thumbnails/')) AS roots (root) WHERE snapshot_path IS NOT NULL) TO STDOUT
"""
_IN_ROWS: Final = """
SELECT count(*), COALESCE(sum(hashtextextended(root || device_id || '/' || snapshot_path, 0)::numeric), 0)
FROM events, (VALUES ('snapshots/'), ('thumbnails/')) AS roots (root) WHERE snapshot_path IS NOT NULL
"""
_IN_BUCKET: Final = "SELECT count(*), COALESCE(sum(hashtextextended(key, 0)::numeric), 0) FROM objects"


def run() -> list[Figure]:
    with database_server(durable=True, settings=LARGE) as server:
        for name in ("bench", "bucket"):
            server.create_database(name)
        url, bucket = server.url_of("bench"), server.url_of("bucket")
        upgrade(url)
        _fill(url, bucket)
        _set_policies(url)
        with _ingesting(url) as before:
            time.sleep(10)
        start = time.perf_counter()
        with _ingesting(url) as meanwhile:
            killed = _run_and_kill(url, bucket)
        took_s = time.perf_counter() - start
        left = _check_in_step(url, bucket)
    deleted = EVENTS - left
    note = f"{EVENTS:,} events, killed {killed} times, {left:,} left"
    return [
        Figure("longest ingest of 10 events, without retention", max(before), "ms"),
        Figure("longest ingest meanwhile", max(meanwhile), "ms", _TARGET_MS, "lower", note=note),
        Figure("median ingest meanwhile", statistics.median(meanwhile), "ms"),
        Figure("events deleted with their pictures", deleted / took_s, "events/s", better="higher"),
    ]


def _fill(url: str, bucket: str) -> None:
    now = datetime.now(UTC)
    with psycopg.connect(url, autocommit=True) as events, psycopg.connect(bucket, autocommit=True) as objects:
        events.execute(
            "SELECT events_ensure_partition(now() - make_interval(months => n)) FROM generate_series(0, 5) AS n"
        )
        for first in range(1, EVENTS + 1, _AT_ONCE):
            last = min(first + _AT_ONCE - 1, EVENTS)
            events.execute(_FILL, {"now": now, "all": EVENTS, "first": first, "last": last})
        events.execute("VACUUM ANALYZE")
        objects.execute('CREATE TABLE objects (key text COLLATE "C" PRIMARY KEY)')
        with events.cursor().copy(_OBJECTS) as source, objects.cursor().copy("COPY objects FROM STDIN") as target:
            for data in source:
                target.write(data)


def _set_policies(url: str) -> None:
    """Keep 45 days; of one camera 10 days, and of another a tenth of its events; hold two days of a third."""
    start = datetime.now(UTC) - timedelta(days=60)
    with psycopg.connect(url) as connection:
        create_policy(connection, PolicyFields(None, None, None, None, 45, None))
        create_policy(connection, PolicyFields("cam-1", None, None, None, 10, None))
        create_policy(connection, PolicyFields("cam-2", None, None, None, None, EVENTS // 20 * 2_000))
        items = [HeldItem(None, "cam-3", start, start + timedelta(days=2))]
        place_hold(connection, NewHold("case 7", "a court", "ana", None, items))


def _run_and_kill(url: str, bucket: str) -> int:
    """Run the task, killing it at random times, until it has finished; return how often it was killed."""
    rng = random.Random(7)
    killed = 0
    while True:
        command = [sys.executable, "-m", "tests.benchmarks.retention_run", url, bucket]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            status = process.wait(None if killed == KILLS else rng.uniform(0, 3))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
            continue
        finally:
            process.stdout.close()
        if status != 0:
            raise RuntimeError(f"the task ended with status {status}")
        return killed


def _check_in_step(url: str, bucket: str) -> int:
    """Return the number of filled events that are left; raise if the objects are not exactly their pictures."""
    with psycopg.connect(url) as events, psycopg.connect(bucket) as objects:
        rows, keys = events.execute(_IN_ROWS).fetchone(), objects.execute(_IN_BUCKET).fetchone()
        if rows is None or rows != keys:
            raise RuntimeError(f"rows and objects are not in step: {rows}, {keys}")
        expired = "SELECT count(*) FROM events WHERE camera_id <> 'cam-3' AND timestamp < now() - interval '45 days'"
        if events.execute(expired).fetchone() != (0,):
            raise RuntimeError("expired events are left")
    return rows[0] // 2


@contextmanager
def _ingesting(url: str) -> Generator[list[float]]:
    """Ingest ten events after another; yield the list of their times in milliseconds."""
    ingest = build_ingest({"DATABASE_URL": url}, publisher=CountingPublisher())
    waits: list[float] = []
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(0.02):
            now = datetime.now(UTC)
            cameras = (f"cam-{number}" for number in range(10))
            events = [
                wire_event(timestamp=format_utc(now), camera_id=camera, device_id=camera, snapshot=None)
                for camera in cameras
            ]
            start = time.perf_counter()
            if ingest.handle(batch(events))["batchItemFailures"]:
                raise RuntimeError("ingest returned failed events")
            waits.append(1000 * (time.perf_counter() - start))

    ingest.handle(batch([wire_event(snapshot=None)]))  # connects
    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield waits
    finally:
        ended.set()
        thread.join()
