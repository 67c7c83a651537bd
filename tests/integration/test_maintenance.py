"""Maintenance while a long transaction reads: every step is tried, and totals, lists and plates always agree."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cloud_functions.db.partitions.partitions import delete_plate_reads, drop_partition, list_partitions
from cloud_functions.db.sites.settings import set_retention
from cloud_functions.maintenance.handler import Maintenance, build_maintenance
from cloud_functions.maintenance.schedule import TASKS, Step
from cloud_functions.privacy.plate_store import get_stats
from shared.clock import ManualClock
from shared.errors import TransientError
from tests.support.api_calls import store, stored_event
from tests.support.ingest_harness import RECOUNT, RecordingCommands, open_database, rows

NOW = datetime(2027, 1, 10, 2, 30, tzinfo=UTC)
OCTOBER = datetime(2026, 10, 20, tzinfo=UTC)
LAST_WEEK = datetime(2027, 1, 1, tzinfo=UTC)
AGREE = """
SELECT (SELECT count(*) FROM events), (SELECT COALESCE(sum(events), 0)::int FROM event_counts),
       (SELECT COALESCE(sum(events), 0)::int FROM event_counts_monthly),
       (SELECT count(*) FROM events WHERE license_plate IS NOT NULL), (SELECT count(*) FROM plate_events),
       (SELECT COALESCE(sum(events), 0)::int FROM plates),
       (SELECT COALESCE(sum(events), 0)::int FROM plate_camera_counts)
"""


@pytest.fixture
def task(database_url: str) -> Iterator[Maintenance]:
    """Maintenance with a retention of thirty days, and events of October and of last week."""
    store(database_url, [stored_event("motion", timestamp=OCTOBER + timedelta(minutes=n)) for n in range(20)])
    store(database_url, [plate_read(n, OCTOBER) for n in range(30)])
    store(database_url, [plate_read(n, LAST_WEEK) for n in range(5)])
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT events_ensure_partition('2026-10-01+00')")
    database = open_database(database_url)
    yield build_maintenance(
        {"DATABASE_URL": database_url, "RETENTION_DAYS": "30"},
        database=database,
        commands=RecordingCommands(),
        clock=ManualClock(NOW),
        sleep=lambda _: None,
    )
    database.close()


def plate_read(number: int, moment: datetime) -> dict[str, Any]:
    data = {"anpr_result": {"license_plate": f"B {number}", "confidence": 0.9}, "plate_normalized": f"B{number}"}
    return stored_event("anpr", timestamp=moment + timedelta(minutes=number), event_data=data)


def assert_agreed(url: str) -> tuple[int, int]:
    """Check that totals, counts and plates agree; return the number of events and of plate reads."""
    [(events, hourly, monthly, reads, plate_rows, plates, by_camera)] = rows(url, AGREE)
    assert events == hourly == monthly
    assert reads == plate_rows == plates == by_camera
    return events, reads


def test_cloud_a5_long_reader_blocks_no_other_step(task: Maintenance, database_url: str) -> None:
    """While a transaction reads, the month cannot be dropped; site retention runs and all totals agree."""
    with psycopg.connect(database_url) as connection:
        set_retention(connection, "hq", plate_days=7, event_days=None)
    with psycopg.connect(database_url) as report:
        report.execute("SELECT count(*) FROM events")
        with pytest.raises(TransientError, match=r"maintenance did not finish: retention\.months$"):
            task.handle({"task": "retention"})
        events, reads = assert_agreed(database_url)
        assert (events, reads) == (20, 0)
        with psycopg.connect(database_url) as connection:
            assert get_stats(connection).total_events == 0
    task.handle({"task": "retention"})
    assert assert_agreed(database_url) == (0, 0)
    assert rows(database_url, RECOUNT) == []
    assert rows(database_url, "SELECT count(*) FROM plates") == [(0,)]


def test_cloud_a5_totals_agree_after_every_step_of_dropping_a_month(task: Maintenance, database_url: str) -> None:
    """After every step, the month's plate reads are either in all lists, totals and statistics or in none."""
    seen = [assert_agreed(database_url)]
    with psycopg.connect(database_url, autocommit=True) as connection:
        month = next(part for part in list_partitions(connection) if part.name == "events_2026_10")
        while delete_plate_reads(connection, month, limit=7):
            seen.append(assert_agreed(database_url))
        with psycopg.connect(database_url) as report:
            report.execute("SELECT count(*) FROM events")
            with pytest.raises(psycopg.errors.LockNotAvailable), connection.transaction():
                drop_partition(connection, month)
            assert assert_agreed(database_url) == (25, 5)
        with connection.transaction():
            drop_partition(connection, month)
    assert assert_agreed(database_url) == (5, 5)
    assert seen == [(55, 35), (48, 28), (41, 21), (34, 14), (27, 7), (25, 5)]


def test_cloud_a5_failed_steps_are_retried(task: Maintenance, database_url: str) -> None:
    """The task of every minute repeats failed steps when they are due, until they succeed."""
    with psycopg.connect(database_url) as report:
        report.execute("SELECT count(*) FROM events")
        with pytest.raises(TransientError):
            task.handle({"task": "retention"})
    due = "SELECT task, due_at BETWEEN now() AND now() + interval '5 minutes' FROM maintenance_retries"
    assert rows(database_url, due) == [("retention", True)]
    assert list(task.handle({"task": "gaps"})) == ["gaps"]
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE maintenance_retries SET due_at = now()")
    assert task.handle({"task": "gaps"})["retention"] > 0
    assert rows(database_url, due) == []
    assert assert_agreed(database_url) == (5, 5)


def test_cloud_a5_failure_of_one_site_does_not_affect_another(task: Maintenance, database_url: str) -> None:
    """The result names the site whose events cannot be deleted; the events of the next site are deleted."""
    store(database_url, [stored_event("motion", site_id="yard", timestamp=OCTOBER)])
    with psycopg.connect(database_url) as connection:
        for site in ("hq", "yard"):
            set_retention(connection, site, plate_days=None, event_days=60)
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF OLD.site_id = 'hq' THEN RAISE 'busy' USING ERRCODE = '40001'; END IF; RETURN OLD; END $$;"
            " CREATE TRIGGER refuse BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    step = next(step for step in TASKS["retention"].steps if step.name == "sites")
    with pytest.raises(TransientError, match=r"hq$"):
        step.run(task._context)
    assert rows(database_url, "SELECT count(*) FROM events WHERE site_id = 'yard'") == [(0,)]


def test_cloud_a5_unexpected_error_of_one_step_does_not_stop_the_others(
    task: Maintenance, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result names a step with an unexpected error like one that failed; the rest of its task runs."""

    def fail(_: object) -> int:
        raise ZeroDivisionError

    retention = TASKS["retention"]
    monkeypatch.setitem(TASKS, "retention", retention._replace(steps=(Step("broken", fail), *retention.steps)))  # type: ignore[arg-type]
    with pytest.raises(TransientError, match=r"retention\.broken$"):
        task.handle({"task": "retention"})
    assert assert_agreed(database_url) == (5, 5)
