"""What grows with the number of stored events: the cost of ingest, of each query and of retention, and bytes a row.

One database for each size is filled with 90 days of 50 cameras, on one server. Ingest stores the same batches in all of
them in turn, so that other load on the machine affects all sizes equally. ``BENCH_GROWTH_EVENTS`` lists the sizes
(default ``1000000,10000000``; add ``50000000`` where 70 GB of disk and an hour are free); the first is the baseline.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

import psycopg

from cloud_functions.db.migrate import upgrade
from cloud_functions.ingest.handler import build_ingest
from cloud_functions.maintenance.handler import build_maintenance
from tests.benchmarks.bench_api import INSERT_AT_ONCE, MAKE_EVENTS, days_ago
from tests.benchmarks.figures import Figure
from tests.benchmarks.filled_database import LARGE, database_server, fill
from tests.benchmarks.ingest_contest import DiscardingPublisher, in_turn
from tests.benchmarks.request_times import Action, Took, time_requests
from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.wire_events import batch, mixed_traffic

SIZES: Final = tuple(int(size) for size in os.environ.get("BENCH_GROWTH_EVENTS", "1000000,10000000").split(","))
QUERY_ROUNDS: Final = 40
BATCHES: Final = 60
BATCH: Final = 500
_WARM_UP: Final = 5
_BYTES_OF_DISK: Final = 1100
"""For each event, with its indexes, its rollups and the log."""
_LIST_TARGET_MS: Final = 15.0
_STATISTICS_TARGET_MS: Final = 20.0
_FUZZY_TARGET_MS: Final = 53.0
_INGEST_TARGET: Final = 1.10
_RETENTION_DAYS: Final = 60

_SIZES_ON_DISK: Final = """
SELECT sum(pg_table_size(relid))::float8, sum(pg_indexes_size(relid))::float8
FROM pg_partition_tree('events') WHERE isleaf
"""
_OTHERS_ON_DISK: Final = """
SELECT sum(pg_total_relation_size(c.oid))::float8 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE nspname = 'public' AND relkind = 'r' AND c.oid NOT IN (SELECT relid FROM pg_partition_tree('events'))
"""


def run() -> list[Figure]:
    _require_disk()
    with database_server(durable=False, settings=LARGE) as server, ExitStack() as stack:
        urls: dict[int, str] = {}
        for size in SIZES:
            server.create_database(f"events_{size}")
            urls[size] = server.url_of(f"events_{size}")
            upgrade(urls[size])
            fill(urls[size], MAKE_EVENTS, rows=size, at_once=min(INSERT_AT_ONCE, size))
        figures = [figure for size, url in urls.items() for figure in _bytes(size, url)]
        figures += _queries(urls, stack)
        figures += _ingest(urls)
        return figures + [_retention(size, url) for size, url in urls.items()]


def _require_disk() -> None:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    needed = sum(SIZES) * _BYTES_OF_DISK
    if free < needed:
        raise RuntimeError(
            f"{sum(SIZES):,} events need {needed / 1e9:.0f} GB in {tempfile.gettempdir()}, and {free / 1e9:.0f} GB are"
            " free; set TMPDIR to another disk, or BENCH_GROWTH_EVENTS to fewer events"
        )


def _bytes(size: int, url: str) -> list[Figure]:
    with psycopg.connect(url) as connection:
        table, indexes = connection.execute(_SIZES_ON_DISK).fetchone() or (0.0, 0.0)
        [others] = connection.execute(_OTHERS_ON_DISK).fetchone() or (0.0,)
    note = f"of them {indexes / size:,.0f} indexes; rollups and plates take {others / size:,.0f} more"
    return [Figure(f"bytes an event, {_short(size)}", (table + indexes) / size, "B", note=note)]


def _queries(urls: Mapping[int, str], stack: ExitStack) -> list[Figure]:
    measured: dict[int, dict[str, Took]] = {}
    for size, url in urls.items():
        handler, dependencies = lambda_api(url)
        stack.callback(handler.close)
        stack.callback(dependencies.close)
        measured[size] = time_requests(url, _actions(ApiCalls(handler), size), rounds=QUERY_ROUNDS)
    smallest = measured[SIZES[0]]
    return [
        Figure(
            f"{name}, {_short(size)}: p95",
            took.p95_ms,
            "ms",
            _target(name) if size == SIZES[-1] else None,
            note=f"{took}; processor time {took.cpu_ms / smallest[name].cpu_ms:.2f} of that at {_short(SIZES[0])}",
        )
        for name in smallest
        for size, took in ((size, of_size[name]) for size, of_size in measured.items())
    ]


def _target(name: str) -> float | None:
    kind = name.partition(",")[0]
    return {"list": _LIST_TARGET_MS, "statistics": _STATISTICS_TARGET_MS, "fuzzy plates": _FUZZY_TARGET_MS}.get(kind)


def _actions(api: ApiCalls, size: int) -> dict[str, Action]:
    middle = {"start_time": days_ago(60.4), "end_time": days_ago(10.2)}
    return {
        "list": lambda: api.get("/api/events"),
        "list, camera and type": lambda: api.get("/api/events", camera_id="camera-7", event_type="tracking"),
        "list, 50 days": lambda: api.get("/api/events", **middle),
        "list, class and confidence": lambda: api.get("/api/events", class_name="dog", min_confidence=0.8),
        "list, a plate": lambda: api.get("/api/events", license_plate="B 1234"),
        "list, the middle page": lambda: api.get("/api/events", page=size // 100),
        "statistics": lambda: api.get("/api/events/stats"),
        "statistics, 50 days": lambda: api.get("/api/events/stats", **middle),
        "recent": lambda: api.get("/events/recent"),
        "export, the first 100": lambda: api.get("/api/events/export", limit=100),
        "fuzzy plates": lambda: api.get("/api/plates", plate="B1Z34", match="fuzzy"),
    }


def _ingest(urls: Mapping[int, str]) -> list[Figure]:
    ingests = {
        _short(size): build_ingest({"DATABASE_URL": url}, publisher=DiscardingPublisher()) for size, url in urls.items()
    }
    invocations = [
        batch(mixed_traffic(BATCH, seed=seed, first_sequence=1 + seed * BATCH)) for seed in range(BATCHES + _WARM_UP)
    ]
    spent = in_turn(ingests, invocations, warm_up=_WARM_UP)
    first = _short(SIZES[0])
    return [
        Figure(
            f"ingest of a batch of {BATCH}, {name}",
            spent.ratio(name, first),
            f"of {first}",
            None if name == first else _INGEST_TARGET,
            note=f"median {sorted(spent.clock[name])[len(spent.clock[name]) // 2] * 1000:.0f} ms",
        )
        for name in ingests
    ]


def _retention(size: int, url: str) -> Figure:
    """Take out the months that are older than 60 of the 90 days, with their rollups and plates."""
    maintenance = build_maintenance({"DATABASE_URL": url, "RETENTION_DAYS": str(_RETENTION_DAYS)})
    with psycopg.connect(url) as connection:
        [before] = connection.execute("SELECT count(*) FROM events").fetchone() or (0,)
    start = time.perf_counter()
    maintenance.handle({"task": "retention"})
    took_s = time.perf_counter() - start
    with psycopg.connect(url) as connection:
        [after] = connection.execute("SELECT count(*) FROM events").fetchone() or (0,)
    return Figure(f"retention, {_short(size)}", took_s, "s", note=f"{before - after:,} of {before:,} events deleted")


def _short(size: int) -> str:
    return f"{size / 1e6:g} M"
