"""A million events of months without a partition: how long a concurrent reader and writer wait.

The events are stored once by ingest, which creates each month's partition first, and once in the default partition, as
by a bulk import, from which maintenance moves them. It also measures the speed of ingest for old events against that
for current ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

import psycopg

from cloud_functions.db.migrate import upgrade
from cloud_functions.ingest.handler import build_ingest
from cloud_functions.maintenance.handler import build_maintenance
from shared.clock import format_utc
from shared.errors import TransientError
from tests.benchmarks.bench_ingest import CountingPublisher
from tests.benchmarks.figures import Figure
from tests.benchmarks.filled_database import LARGE, database_server
from tests.support.wire_events import batch, wire_event

EVENTS: Final = 1_000_000
BY_INGEST: Final = 96_000
_TARGET_MS: Final = 500.0
_MONTHS: Final = 24

_IMPORT: Final = """
INSERT INTO events (event_id, site_id, device_id, camera_id, event_type, "timestamp", event_data)
SELECT gen_random_uuid(), 'hq', 'old-' || mod(n, 20), 'old-' || mod(n, 20), 'tracking',
       now() - interval '30 months' + (n::float8 / %(all)s) * interval '24 months',
       '{"class_name": "person", "confidence": 0.8, "zones": ["gate"], "track_id": 1}'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""


def run() -> list[Figure]:
    with database_server(durable=False, settings=LARGE) as server:
        urls: list[str] = []
        for name in ("by_ingest", "imported"):
            server.create_database(name)
            urls.append(server.url_of(name))
            upgrade(urls[-1])
        return [*_by_ingest(urls[0]), *_imported(urls[1])]


def _by_ingest(url: str) -> list[Figure]:
    ingest = build_ingest({"DATABASE_URL": url}, publisher=CountingPublisher())
    now = datetime.now(UTC)
    a_month = BY_INGEST // _MONTHS
    with _others(url) as waits:
        recent_s = _take(ingest, [now - timedelta(seconds=number) for number in range(4 * a_month)])
        history_s = _take(
            ingest,
            [
                now - timedelta(days=30 * (_MONTHS + 6 - month), seconds=number)
                for month in range(_MONTHS)
                for number in range(a_month)
            ],
        )
    note = f"{BY_INGEST:,} events of {_MONTHS} months, a second apart"
    return [
        Figure("history through ingest", BY_INGEST / sum(history_s), "events/s", better="higher", note=note),
        Figure(
            "… of events of now", median(recent_s) / median(history_s), "ratio", better="higher", note="median batch"
        ),
        Figure("longest wait meanwhile", max(waits), "ms", _TARGET_MS, "lower"),
    ]


def _take(ingest: Any, times: list[datetime]) -> list[float]:
    """Ingest events in batches of a thousand; return the seconds of each batch."""
    took_s: list[float] = []
    for first in range(0, len(times), 1000):
        events = batch(
            wire_event(timestamp=format_utc(moment), camera_id="old-1", device_id="old", snapshot=None)
            for moment in times[first : first + 1000]
        )
        start = time.perf_counter()
        if ingest.handle(events)["batchItemFailures"]:
            raise RuntimeError("ingest returned failed events")
        took_s.append(time.perf_counter() - start)
    return took_s


def _imported(url: str) -> list[Figure]:
    maintenance = build_maintenance({"DATABASE_URL": url})
    with _others(url) as import_waits, psycopg.connect(url, autocommit=True) as connection:
        for first in range(1, EVENTS + 1, 10_000):
            connection.execute(_IMPORT, {"all": EVENTS, "first": first, "last": first + 9_999})
    start = time.perf_counter()
    runs = 0
    with _others(url) as move_waits:
        while runs < 20:
            runs += 1
            try:
                maintenance.handle({"task": "partitions"})
            except TransientError:
                continue
            break
    took_s = time.perf_counter() - start
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT (SELECT count(*) FROM events_default), count(*) FROM events").fetchone()
    if row is None or row[0] != 0 or row[1] < EVENTS:
        raise RuntimeError(f"not all events were moved: {row}")
    return [
        Figure("longest wait during an import of a million", max(import_waits), "ms", _TARGET_MS, "lower"),
        Figure("moved to their months", EVENTS / took_s, "events/s", better="higher", note=f"{runs} runs"),
        Figure("longest wait meanwhile", max(move_waits), "ms", _TARGET_MS, "lower"),
    ]


@contextmanager
def _others(url: str) -> Generator[list[float]]:
    """Run a reader and a writer; yield the list of their waiting times in milliseconds."""
    waits: list[float] = [0.0]
    ended = threading.Event()
    threads = [threading.Thread(target=_repeat, args=(one(url), ended, waits)) for one in (_reader, _writer)]
    for thread in threads:
        thread.start()
    try:
        yield waits
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _repeat(work: Callable[[], object], ended: threading.Event, waits: list[float]) -> None:
    while not ended.wait(0.02):
        start = time.perf_counter()
        work()
        waits.append(1000 * (time.perf_counter() - start))


def _reader(url: str) -> Callable[[], object]:
    connection = psycopg.connect(url, autocommit=True)
    query = 'SELECT id, event_data FROM events ORDER BY "timestamp" DESC, id DESC LIMIT 50'
    return lambda: connection.execute(query).fetchall()


def _writer(url: str) -> Callable[[], object]:
    ingest = build_ingest({"DATABASE_URL": url}, publisher=CountingPublisher())
    return lambda: ingest.handle(batch([wire_event(timestamp=format_utc(datetime.now(UTC)), snapshot=None)]))
