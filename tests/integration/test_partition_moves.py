"""Events of months without a partition: the partition is created first, or the rows are moved into it later.

No reader or writer waits long or misses a row.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_functions.db.connect import LockedError
from cloud_functions.db.migrate import downgrade
from cloud_functions.db.partitions.move import begin_move, copy_batch, finish_move, prepare_move
from cloud_functions.db.partitions.partitions import month_start
from cloud_functions.maintenance.handler import build_maintenance
from shared.clock import ManualClock, format_utc
from shared.errors import TransientError
from tests.support.api_calls import store, stored_event
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_database, open_ingest, rows
from tests.support.wire_events import batch, failures, wire_event

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SPRING = datetime(2025, 4, 3, tzinfo=UTC)
IN_DEFAULT = "SELECT count(*) FROM events_default"
TOTALS = """
SELECT (SELECT count(*) FROM events), (SELECT sum(events)::int FROM event_counts_monthly),
       (SELECT count(*) FROM plate_events), (SELECT sum(events)::int FROM plates)
"""


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url, clock=ManualClock(NOW)) as one:
        yield one


def imported(url: str, count: int, *, start: datetime = SPRING, step: timedelta = timedelta(minutes=30)) -> None:
    """Insert events of months without a partition directly into the table, as a bulk import does."""
    kinds = itertools.cycle(["motion", "anpr", "tracking"])
    store(url, [stored_event(next(kinds), timestamp=start + number * step) for number in range(count)])


def run_partitions(url: str, *, clock: ManualClock | None = None, **variables: str) -> int:
    """Run the task once with its own connection; return the number of created partitions."""
    database = open_database(url)
    try:
        task = build_maintenance(
            {"DATABASE_URL": url} | variables, database=database, clock=clock or ManualClock(NOW), sleep=lambda _: None
        )
        return task.handle({"task": "partitions"})["partitions"]
    finally:
        database.close()


def test_cloud_a2_ingest_creates_partitions_before_inserting(ingest: IngestHarness) -> None:
    """Ingest never stores events of a month without a partition in the default partition."""
    months = ["2024-02-29", "2025-12-31", "2026-01-01"]
    assert failures(ingest.handle(batch(wire_event(timestamp=f"{day}T23:30:00Z") for day in months))) == []
    assert failures(ingest.handle(batch([wire_event(timestamp="2024-03-01T00:00:00Z")]))) == []
    assert ingest.rows(IN_DEFAULT) == [(0,)]
    assert ingest.rows("SELECT count(*) FROM events_2024_02") == [(1,)]
    assert ingest.rows("SELECT count(*) FROM events_2024_03") == [(1,)]
    assert ingest.rows(RECOUNT) == []
    assert len(ingest.publisher.published) == 4


def test_cloud_a2_history_of_any_age_gets_partitions_and_a_wrong_clock_does_not(ingest: IngestHarness) -> None:
    """A few events of 1970 come from a device without a clock; many events of 2009 are an archive."""
    archive = [wire_event(timestamp=f"2009-06-01T00:{number:02}:00Z") for number in range(60)]
    assert failures(ingest.handle(batch([wire_event(timestamp="1970-01-01T00:00:09Z"), *archive]))) == []
    assert ingest.rows("SELECT extract(year FROM timestamp)::int FROM events_default") == [(1970,)]
    assert ingest.rows("SELECT count(*) FROM events_2009_06") == [(60,)]
    assert ingest.rows(RECOUNT) == []


def test_cloud_a2_ingest_waits_for_no_reader_of_the_default_partition(ingest: IngestHarness) -> None:
    """While a report reads, no partition is created: events go to the default partition and are moved later."""
    with psycopg.connect(ingest.url) as report:
        report.execute("SELECT count(*) FROM events")
        assert failures(ingest.handle(batch([wire_event(timestamp="2025-05-05T05:00:00Z")]))) == []
        assert ingest.rows(IN_DEFAULT) == [(1,)]
    assert run_partitions(ingest.url) > 0
    assert ingest.rows(IN_DEFAULT) == [(0,)]


def test_cloud_a2_default_partition_is_moved_in_batches(database_url: str) -> None:
    """Three thousand events of three months are moved to their partitions; counts and plates do not change."""
    imported(database_url, 3000)
    before = rows(database_url, TOTALS)
    assert rows(database_url, IN_DEFAULT) == [(3000,)]
    assert run_partitions(database_url) > 2
    assert rows(database_url, IN_DEFAULT) == [(0,)]
    assert rows(database_url, "SELECT count(*) FROM events_2025_04") == [(28 * 48,)]
    assert rows(database_url, TOTALS) == before
    assert rows(database_url, RECOUNT) == []
    left = "SELECT to_regclass('events_moving'), to_regproc('events_mirror'), (SELECT count(*) FROM event_move)"
    assert rows(database_url, left) == [(None, None, 0)]
    assert run_partitions(database_url) == 0


def test_cloud_a2_long_report_and_copying_do_not_block_each_other(database_url: str) -> None:
    """An open report delays only the exchange of partitions: the run reports this and the next run completes it."""
    imported(database_url, 1500)
    with psycopg.connect(database_url) as report:
        report.execute("SELECT count(*) FROM events")
        with pytest.raises(TransientError, match=r"partitions\.default"):
            run_partitions(database_url)
        assert rows(database_url, "SELECT complete, events FROM event_move") == [(True, 1500)]
        assert rows(database_url, "SELECT count(*) FROM events") == [(1500,)]
    assert run_partitions(database_url) > 0
    assert rows(database_url, IN_DEFAULT) == [(0,)]


def test_cloud_a2_a_run_that_ends_early_is_continued(database_url: str) -> None:
    """The progress of copying is stored, so the next run continues there."""
    imported(database_url, 2500)
    once = partial(run_partitions, database_url, clock=SteppingClock(), MAINTENANCE_BUDGET_S="1")
    with pytest.raises(TransientError, match="partitions"):
        once()
    assert rows(database_url, "SELECT events FROM event_move") == [(1000,)]
    for _ in range(3):
        try:
            once()
        except TransientError:
            continue
        break
    assert rows(database_url, IN_DEFAULT) == [(0,)]
    assert rows(database_url, RECOUNT) == []


class SteppingClock(ManualClock):
    """A clock whose monotonic time advances a minute at each reading."""

    def __init__(self) -> None:
        super().__init__(NOW)

    def monotonic(self) -> float:
        self.advance(60)
        return super().monotonic()


def test_cloud_a2_two_runs_at_once_do_not_disturb_one_another(database_url: str) -> None:
    """The second run does nothing while the first one moves rows."""
    imported(database_url, 2500)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run_partitions, database_url) for _ in range(2)]
        for run in runs:
            try:
                run.result()
            except TransientError:
                continue
    for _ in range(2):
        run_partitions(database_url)
    assert rows(database_url, IN_DEFAULT) == [(0,)]
    assert rows(database_url, "SELECT count(*) FROM events") == [(2500,)]
    assert rows(database_url, RECOUNT) == []


WRITES = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), st.integers(0, 100)),
        st.tuples(st.just("delete"), st.integers(0, 6)),
        st.tuples(st.just("update"), st.integers(0, 6)),
        st.tuples(st.just("copy"), st.integers(1, 20)),
        st.tuples(st.just("truncate"), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WRITES)
def test_cloud_a2_rows_written_during_a_move_are_moved(database_url: str, writes: list[tuple[str, int]]) -> None:
    """After inserts, deletes, updates or a truncate between batches, the move does not change the table's content."""
    whole = "SELECT id, event_id, timestamp, camera_id, event_data::text, license_plate FROM events ORDER BY id"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("TRUNCATE events")
        imported(database_url, 40, step=timedelta(days=2))
        with connection.transaction():
            prepare_move(connection, [month_start(SPRING, months_later=number) for number in range(3)])
        with connection.transaction():
            begin_move(connection)
        for kind, number in writes:
            match kind:
                case "insert":
                    imported(database_url, 2, start=SPRING + timedelta(days=number))
                case "delete":
                    connection.execute("DELETE FROM events WHERE mod(id, 7) = %s", [number])
                case "update":
                    connection.execute("UPDATE events SET camera_id = 'moved' WHERE mod(id, 7) = %s", [number])
                case "truncate":
                    connection.execute("TRUNCATE events")
                case _:
                    with connection.transaction():
                        copy_batch(connection, limit=number)
        before = connection.execute(whole).fetchall()
        while _in_transaction(connection, partial(copy_batch, limit=7)):
            pass
        _in_transaction(connection, finish_move)
        _in_transaction(connection, lambda one: one.execute("DROP TABLE events_moving").rowcount)
        assert connection.execute(whole).fetchall() == before
        in_their_months = "SELECT count(*) FROM events_default WHERE timestamp < '2025-07-01+00'"
        assert connection.execute(in_their_months).fetchall() == [(0,)]
        for (name,) in connection.execute("SELECT relname FROM pg_class WHERE relname ~ '^events_2025_..$'").fetchall():
            connection.execute(f"DROP TABLE {name}".encode())


def _in_transaction(connection: psycopg.Connection, step) -> int:  # type: ignore[no-untyped-def,type-arg]
    with connection.transaction():
        return step(connection)


def test_cloud_a2_migration_restarts_a_move(database_url: str) -> None:
    """Rows that were copied with an older schema may lack a column, so they are copied again."""
    imported(database_url, 1500)
    with psycopg.connect(database_url, autocommit=True) as connection:
        _in_transaction(connection, lambda one: prepare_move(one, [month_start(SPRING)]) or 0)
        _in_transaction(connection, lambda one: begin_move(one) or 0)
        connection.execute("UPDATE event_move SET revision = '0000', complete = true")
    assert run_partitions(database_url) > 1
    assert rows(database_url, "SELECT count(*) FROM events") == [(1500,)]
    assert rows(database_url, IN_DEFAULT) == [(0,)]


def test_cloud_a2_downgrade_during_a_move_loses_nothing(database_url: str) -> None:
    """A downgrade drops the copies; the events are still in the default partition."""
    imported(database_url, 1500)
    with psycopg.connect(database_url, autocommit=True) as connection:
        _in_transaction(connection, lambda one: prepare_move(one, [month_start(SPRING)]) or 0)
        _in_transaction(connection, lambda one: begin_move(one) or 0)
        _in_transaction(connection, copy_batch)
    downgrade(database_url, "0008")
    assert rows(database_url, IN_DEFAULT) == [(1500,)]
    imported(database_url, 10)
    assert rows(database_url, RECOUNT) == []


@pytest.mark.parametrize("table", ["events_default", "events_moving_default", "events_2025_04"])
def test_cloud_a2_no_reader_waits_for_autovacuum_behind_the_last_step(database_url: str, table: str) -> None:
    """The last step locks out readers only when it has all other locks; then autovacuum is enabled for all months."""
    imported(database_url, 30)
    with psycopg.connect(database_url, autocommit=True) as mover, psycopg.connect(database_url) as vacuum:
        with mover.transaction():
            prepare_move(mover, [month_start(SPRING)])
        with mover.transaction():
            begin_move(mover)
        for _ in range(2):
            with mover.transaction():
                copy_batch(mover)
        vacuum.execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")  # pyright: ignore
        with pytest.raises(psycopg.errors.LockNotAvailable, match="could not obtain lock"), mover.transaction():
            finish_move(mover)
        vacuum.rollback()
        with mover.transaction():
            assert finish_move(mover) == 1
    off = "SELECT relname FROM pg_class WHERE array_to_string(reloptions, ',') ~ 'autovacuum_enabled'"
    assert rows(database_url, off) == []
    assert rows(database_url, RECOUNT) == []


def test_cloud_a2_a_month_ahead_waits_for_no_long_reader(database_url: str) -> None:
    """Creating a partition gives up after about a second, so that other sessions do not queue behind its lock."""
    with psycopg.connect(database_url) as report, open_ingest(database_url) as one:
        report.execute("SELECT count(*) FROM events")
        with pytest.raises(LockedError), one.database.transaction() as connection:
            connection.execute("SELECT events_ensure_partition('2031-01-01+00')")
        assert failures(one.handle(batch([wire_event(timestamp=format_utc(NOW))]))) == []
