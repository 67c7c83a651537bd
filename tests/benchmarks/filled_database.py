"""A temporary PostgreSQL for a benchmark, and a database on it with a given number of rows."""

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
"""Settings for millions of rows, so that most of the requested data stays in memory as on a larger server."""


@contextmanager
def database_server(*, durable: bool = True, settings: tuple[str, ...] = ()) -> Generator[PostgresServer]:
    """Yield a temporary server, which is removed with its data at the end."""
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
    """Yield the URL of a database with ``rows`` rows, and the seconds that inserting them took.

    ``make_rows`` inserts the rows ``first`` to ``last`` of ``all``, with all triggers active.
    """
    with database_server(durable=False, settings=LARGE) as server:
        server.create_database("bench")
        url = server.url_of("bench")
        upgrade(url)
        yield url, fill(url, make_rows, rows=rows, at_once=at_once)


def fill(url: str, make_rows: LiteralString, *, rows: int, at_once: int) -> float:
    """Insert ``rows`` rows, as ``filled_database`` does, into a migrated database; return the seconds that it took."""
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
