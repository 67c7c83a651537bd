"""A throw-away PostgreSQL for a benchmark, and a database on it with as many rows as the figure is about."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg

from cloud_functions.db.migrate import upgrade
from infra.local.servers.postgres import PostgresBinaries, PostgresServer
from tests.support.backing_services import POSTGRES_VARIABLE
from tests.support.ports import reserve_port

LARGE = ("shared_buffers=512MB", "max_wal_size=8GB")
"""Settings for millions of rows: most of what is asked for stays in memory, as on a server of that size."""


@contextmanager
def database_server(*, durable: bool = True, settings: tuple[str, ...] = ()) -> Generator[PostgresServer]:
    """A server of our own: gone at the end, data and all."""
    with tempfile.TemporaryDirectory(prefix="vedette-bench-") as folder:
        Path(folder).chmod(0o755)
        binaries = PostgresBinaries.choose(os.environ.get(POSTGRES_VARIABLE, "embedded"))
        server = PostgresServer(
            folder=Path(folder), binaries=binaries, durable=durable, settings=settings, port=reserve_port()
        )
        server.start()
        try:
            yield server
        finally:
            server.process.stop()


@contextmanager
def filled_database(make_rows: LiteralString, *, rows: int, at_once: int) -> Generator[tuple[str, float]]:
    """A database with ``rows`` rows in it; gives its URL and the seconds that making them took.

    ``make_rows`` inserts those from ``first`` to ``last`` of ``all``, the triggers doing their work as ever.
    """
    with database_server(durable=False, settings=LARGE) as server:
        server.create_database("bench")
        url = server.url_of("bench")
        upgrade(url)
        yield url, _fill(url, make_rows, rows, at_once)


def _fill(url: str, make_rows: LiteralString, rows: int, at_once: int) -> float:
    start = time.perf_counter()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT events_ensure_partition(now() - make_interval(months => back)) FROM generate_series(0, 4) AS back"
        )
        for first in range(1, rows + 1, at_once):
            connection.execute(make_rows, {"all": rows, "first": first, "last": min(first + at_once - 1, rows)})
        took = time.perf_counter() - start
        connection.execute("VACUUM ANALYZE")
    return took
