"""Ingest through the real handler (parse, validate, insert, count, prepare publishing) against a raw COPY of the batch.

Both write the same events into tables with the same schema, indexes and triggers in alternation, one transaction for
each COPY. Publications are prepared but not sent, because sending is network time.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg

from cloud_functions.db.migrate import upgrade
from cloud_functions.ingest.handler import build_ingest
from cloud_functions.ingest.publish import Publication
from infra.local.servers.postgres import PostgresServer
from tests.benchmarks.figures import Figure, interleaved_medians
from tests.benchmarks.filled_database import database_server
from tests.support.wire_events import batch, mixed_traffic

_COLUMNS = (
    'event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence, sequence_epoch,'
    " snapshot_path, snapshot, event_data"
)
_ROUNDS = 15
_DEVICES = 5  # two for each of the five devices of mixed_traffic
_TARGET_RATIO = 0.60


class CountingPublisher:
    """Counts publications and discards them."""

    def __init__(self) -> None:
        self.count = 0

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        self.count += len(publications)
        return set()


def run() -> list[Figure]:
    figures: list[Figure] = []
    with database_server() as server:
        for size, target in ((1000, _TARGET_RATIO), (100, None), (5000, None)):
            ingest_s, copy_s = _measure(server, size)
            note = f"batch of {size}; COPY {size / copy_s:,.0f} events/s"
            figures += [
                Figure("ingest through the handler", size / ingest_s, "events/s", better="higher", note=note),
                Figure("… of a raw COPY", copy_s / ingest_s, "ratio", target, "higher", note=f"batch of {size}"),
            ]
    return figures


def _measure(server: PostgresServer, size: int) -> tuple[float, float]:
    handled, copied = f"handled_{size}", f"copied_{size}"
    for name in (handled, copied):
        server.create_database(name)
        upgrade(server.url_of(name))
    gc.freeze()  # as the handler does after wiring
    publisher = CountingPublisher()
    ingest = build_ingest({"DATABASE_URL": server.url_of(handled)}, publisher=publisher)
    rounds = count()
    traffic = [
        mixed_traffic(size, seed=seed, first_sequence=1 + seed * size // _DEVICES) for seed in range(_ROUNDS + 2)
    ]
    invocations = iter([batch(events) for events in traffic])
    row_sets = iter([_rows(events) for events in traffic])
    with psycopg.connect(server.url_of(copied), autocommit=True) as connection:

        def handle() -> None:
            next(rounds)
            answer = ingest.handle(next(invocations))
            if answer["batchItemFailures"]:
                raise RuntimeError("ingest returned failed events")

        seconds = interleaved_medians(
            {"handle": handle, "copy": lambda: _copy(connection, next(row_sets))}, rounds=_ROUNDS, warm_up=2
        )
    if publisher.count != next(rounds) * size:
        raise RuntimeError("not every event was published")
    return seconds["handle"], seconds["copy"]


def _rows(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (
            event["event_id"],
            event["site_id"],
            event["device_id"],
            event["camera_id"],
            event["event_type"],
            event["timestamp"],
            event["frame_number"],
            event["sequence"],
            event["sequence_epoch"],
            event["snapshot"]["key"],
            json.dumps(event["snapshot"]),
            json.dumps(event["event_data"]),
        )
        for event in events
    ]


def _copy(connection: psycopg.Connection[Any], rows: list[tuple[Any, ...]]) -> None:
    statement = f"COPY events ({_COLUMNS}) FROM STDIN".encode()
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
