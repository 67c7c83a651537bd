"""The task that keeps the database fast, on real PostgreSQL: it works where it is needed, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest

from cloud_functions.db.connect import Database, connect_to
from cloud_functions.db.maintenance.indexes import begin_session
from cloud_functions.maintenance.handler import Maintenance, build_maintenance
from tests.support.ingest_harness import open_database, rows

INVALID = "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE NOT indisvalid"
SIZE = "SELECT pg_relation_size('readings_text_idx')"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def task(database: Database, database_url: str) -> Maintenance:
    variables = {"DATABASE_URL": database_url, "REINDEX_MIN_WASTE_MB": "1"}
    return build_maintenance(variables, database=database, sleep=lambda _: None)


def _execute(url: str, *statements: LiteralString) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def _fill(url: str) -> None:
    """Make a table with an index of 60,000 texts. Autovacuum leaves it alone."""
    _execute(
        url,
        "CREATE TABLE readings (id int, text text) WITH (autovacuum_enabled = off)",
        "INSERT INTO readings SELECT n, md5(n::text) FROM generate_series(1, 60000) AS n",
        "SELECT pg_stat_force_next_flush()",
        "CREATE INDEX readings_text_idx ON readings (text)",
        "VACUUM ANALYZE readings",
    )


def _bloat(url: str) -> None:
    flush = "SELECT pg_stat_force_next_flush()"  # otherwise the rows seem to be deleted after the ANALYZE
    _execute(url, "DELETE FROM readings WHERE id % 20 <> 0", flush, "VACUUM ANALYZE readings")


def test_a_bloated_index_is_rebuilt_once(task: Maintenance, database_url: str) -> None:
    """A fresh one is left alone; a bloated one shrinks; a second run does nothing."""
    _fill(database_url)
    [(fresh,)] = rows(database_url, SIZE)
    assert task.handle({"task": "optimise"}) == {"optimise": 0}
    _bloat(database_url)
    assert rows(database_url, SIZE) == [(fresh,)]
    assert task.handle({"task": "optimise"}) == {"optimise": 1}
    [(rebuilt,)] = rows(database_url, SIZE)
    assert rebuilt < fresh / 10
    names = "SELECT name, size_bytes, row_count FROM index_rebuilds"
    assert rows(database_url, names) == [("readings_text_idx", rebuilt, 3000)]
    assert task.handle({"task": "optimise"}) == {"optimise": 0}
    assert rows(database_url, INVALID) == []


def test_a_rebuild_that_cannot_finish_is_cleaned_up(
    task: Maintenance, database: Database, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No writer waits; the half-built index is dropped; the rebuild is not repeated for a week."""
    _fill(database_url)
    _bloat(database_url)
    variables = {"DATABASE_URL": database_url, "REINDEX_MIN_WASTE_MB": "1", "MAINTENANCE_BUDGET_S": "1"}
    hurried = build_maintenance(variables, database=database)
    with psycopg.connect(database_url) as writer:
        writer.execute("SET lock_timeout = '100ms'")
        writer.execute("INSERT INTO readings VALUES (0, 'open')")  # the rebuild has to wait for this transaction
        assert hurried.handle({"task": "optimise"}) == {"optimise": 0}
        writer.execute("INSERT INTO readings VALUES (1, 'still writing')")
    assert "took too long" in caplog.text
    assert rows(database_url, "SELECT name, size_bytes FROM index_rebuilds") == [("readings_text_idx", None)]
    assert task.handle({"task": "optimise"}) == {"optimise": 0}
    assert rows(database_url, INVALID) == []


def test_left_over_indexes_of_an_interrupted_run_are_dropped(task: Maintenance, database_url: str) -> None:
    """Valid indexes stay."""
    _fill(database_url)
    _execute(
        database_url,
        "CREATE INDEX readings_text_idx_ccnew ON readings (text)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'readings_text_idx_ccnew'::regclass",
    )
    assert task.handle({"task": "optimise"}) == {"optimise": 0}
    left = "SELECT indexname::text FROM pg_indexes WHERE tablename = 'readings'"
    assert rows(database_url, left) == [("readings_text_idx",)]


def test_stale_statistics_are_renewed(task: Maintenance, database_url: str) -> None:
    """Of a table of which a fifth has changed, and of the partitioned table of events as a whole."""
    _fill(database_url)
    _execute(
        database_url,
        "SELECT events_ensure_partition('2026-11-01+00')",
        'INSERT INTO events (event_id, event_type, site_id, device_id, camera_id, "timestamp", event_data)'
        " SELECT gen_random_uuid(), 'motion', 'hq', 'd', 'c', '2026-11-05+00'::timestamptz + n * interval '1 s', '{}'"
        " FROM generate_series(1, 1500) AS n",
        "INSERT INTO readings SELECT n, 'new' FROM generate_series(1, 20000) AS n",
        "SELECT pg_stat_force_next_flush()",
    )
    assert task.handle({"task": "optimise"})["optimise"] >= 2
    known = "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'events' AND inherited"
    assert rows(database_url, known) == [(True,)]
    assert task.handle({"task": "optimise"}) == {"optimise": 0}


def test_pending_entries_of_gin_indexes_are_merged(task: Maintenance, database_url: str) -> None:
    """A search reads no pending list after the run; a second run finds none."""
    _execute(
        database_url,
        "CREATE TABLE labels (names text[]) WITH (autovacuum_enabled = off)",
        "CREATE INDEX labels_names_idx ON labels USING gin (names)",
        "INSERT INTO labels SELECT ARRAY['person', n::text] FROM generate_series(1, 500) AS n",
    )
    assert task.handle({"task": "optimise"}) == {"optimise": 1}
    assert task.handle({"task": "optimise"}) == {"optimise": 0}


def test_a_session_behind_a_pooler_rebuilds_nothing(database_url: str) -> None:
    """The client of a pooler sees the number of another process; two sessions do not rebuild at the same time."""
    with connect_to(database_url) as first, connect_to(database_url) as second:
        assert begin_session(first) is None
        assert begin_session(second) == "another session is rebuilding indexes"
        assert "without a pooler" in str(begin_session(_Pooled(second, first)))  # type: ignore[arg-type]


class _Pooled:
    """A connection whose statements run in another session than the one that was greeted."""

    def __init__(self, greeted: psycopg.Connection[Any], used: psycopg.Connection[Any]) -> None:
        self.info, self.execute = greeted.info, used.execute
