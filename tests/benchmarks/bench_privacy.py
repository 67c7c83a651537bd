"""The cost of protecting plates in ingest and in an API that decrypts plates.

Ingest: the same batches through two handlers in turn, for a protected and an unprotected site in two databases of one
server, with mixed traffic (a tenth are plates) and with plates alone. API: the same requests through the warm Lambda
handler, in turn by a caller without and with permission to read protected plates; all plates are protected.
``VEDETTE_BENCH_PROTECTED`` sets the number of distinct plates.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psycopg

from cloud_functions.db.migrate import upgrade
from cloud_functions.ingest.handler import build_ingest
from cloud_functions.ingest.ingest import Ingest
from infra.local.servers.postgres import PostgresServer
from tests.benchmarks.figures import Figure
from tests.benchmarks.filled_database import database_server
from tests.benchmarks.ingest_contest import DiscardingPublisher, in_turn
from tests.benchmarks.plate_lists import any_plate
from tests.support.api_calls import ApiCalls
from tests.support.protected_sites import api, protect, setting
from tests.support.wire_events import anpr_data, batch, mixed_traffic

DISTINCT = int(os.environ.get("VEDETTE_BENCH_PROTECTED", "10000"))
BATCH = 1000
ROUNDS = 30
WARM_UP = 3
QUESTIONS = 30


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, database_server(durable=False) as server:
        figures = [
            *_ingest(server, Path(folder), "mixed", plates_alone=False),
            *_ingest(server, Path(folder), "plates", plates_alone=True),
        ]
        return [*figures, *_questions(server, Path(folder))]


def _ingest(server: PostgresServer, folder: Path, name: str, *, plates_alone: bool) -> list[Figure]:
    ingests = {kind: _handler(server, f"{name}_{kind}", folder) for kind in ("open", "protected")}
    protect(server.url_of(f"{name}_protected"), folder)
    chance = random.Random(3)
    invocations = (batch(_events(chance, number, plates_alone=plates_alone)) for number in range(ROUNDS + WARM_UP))
    spent = in_turn(ingests, invocations, warm_up=WARM_UP)
    cpu = {kind: spent.median_processor_s(kind) for kind in ingests}
    what = "plates alone" if plates_alone else "a tenth of them plates"
    note = f"batch of {BATCH}, {what}; handler's CPU {cpu['open'] * 1000:.1f} → {cpu['protected'] * 1000:.1f} ms"
    return [
        Figure(f"ingest of {name}, protected, of open: time", spent.ratio("protected", "open"), "ratio", note=note),
        Figure(f"ingest of {name}, protected, of open: CPU", cpu["protected"] / cpu["open"], "ratio"),
    ]


def _events(chance: random.Random, number: int, *, plates_alone: bool) -> list[dict[str, object]]:
    events = mixed_traffic(BATCH, seed=number, first_sequence=1 + number * BATCH // 5)
    for event in events:
        if plates_alone or event["event_type"] == "anpr":
            plate = any_plate(chance)
            candidates = [{"text": plate, "confidence": 0.9}, {"text": plate[::-1], "confidence": 0.1}]
            event |= {"event_type": "anpr", "event_data": anpr_data(plate, candidates=candidates)}
    return events


def _handler(server: PostgresServer, name: str, folder: Path) -> Ingest:
    server.create_database(name)
    upgrade(server.url_of(name))
    variables = {"DATABASE_URL": server.url_of(name), "PLATE_MASTER_KEY": setting(folder)}
    return build_ingest(variables, publisher=DiscardingPublisher())


def _questions(server: PostgresServer, folder: Path) -> list[Figure]:
    """Measure requests over ``DISTINCT`` plates that were each read once or twice."""
    ingest = _handler(server, "requests", folder)
    url = server.url_of("requests")
    protect(url, folder)
    chance = random.Random(4)
    plates = sorted({any_plate(chance) for _ in range(DISTINCT)})
    number = 0
    while number < len(plates):
        events = mixed_traffic(BATCH, seed=number, first_sequence=1 + number // 5)
        for event, plate in zip(events, plates[number : number + BATCH], strict=False):
            event |= {"event_type": "anpr", "event_data": anpr_data(plate)}
        ingest.handle(batch(events))
        number += BATCH
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    with api(url, folder) as anybody, api(url, folder, reader=True) as reader:
        took = _times(_asked(anybody, reader, plates, chance))
    note = f"{len(plates):,} distinct protected plates"
    return [Figure(f"{name}: median", statistics.median(times), "ms", note=note) for name, times in took.items()]


def _asked(
    anybody: ApiCalls, reader: ApiCalls, plates: Sequence[str], chance: random.Random
) -> dict[str, Callable[[], int]]:
    def one() -> str:
        return chance.choice(plates)

    return {
        "exact search, masked": lambda: anybody.get("/api/plates", plate=one()).status,
        "exact search, opened": lambda: reader.get("/api/plates", plate=one()).status,
        "newest 50, masked": lambda: anybody.get("/api/plates").status,
        "newest 50, opened": lambda: reader.get("/api/plates").status,
        "prefix, opened": lambda: reader.get("/api/plates", plate=one()[:4], match="prefix").status,
        "fuzzy, opened": lambda: reader.get("/api/plates", plate=one()[:-1], match="fuzzy").status,
    }


def _times(actions: Mapping[str, Callable[[], int]]) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(QUESTIONS + WARM_UP):
        for name, action in actions.items():
            start = time.perf_counter()
            status = action()
            spent = time.perf_counter() - start
            if status != 200:
                raise RuntimeError(f"{name}: {status}")
            if number >= WARM_UP:
                took[name].append(spent * 1000)
    return took
