"""Maintenance of the monthly partitions: creating, dropping, and locked tables."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from cloud_functions.maintenance.handler import build_maintenance
from shared.clock import ManualClock
from shared.errors import ConfigurationError, TransientError
from tests.support.ingest_harness import RECOUNT, open_database, open_ingest
from tests.support.wire_events import batch, wire_event


def test_partitions_are_created_for_coming_and_past_months(database_url: str) -> None:
    """Events in the default partition move to their month, except those of an implausible year."""
    clock = ManualClock(datetime(2027, 5, 20, tzinfo=UTC))
    with open_ingest(database_url) as ingest:
        events = [
            wire_event(timestamp=when)
            for when in ("2025-11-20T12:00:00Z", "2025-12-01T00:00:00Z", "1970-01-02T00:00:00Z")
        ]
        ingest.handle(batch(events))
        maintenance = build_maintenance({"DATABASE_URL": database_url}, database=ingest.database, clock=clock)
        assert maintenance.handle({"task": "partitions"})["partitions"] >= 2
        names = {
            name
            for (name,) in ingest.rows(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass"
            )
        }
        assert {"events_2025_11", "events_2025_12", "events_2027_05", "events_2027_08"} <= names
        assert ingest.rows("SELECT extract(year FROM timestamp)::int FROM events_default") == [(1970,)]
        assert ingest.rows("SELECT count(*) FROM events") == [(3,)]
        assert ingest.rows(RECOUNT) == []
        assert maintenance.handle({"task": "partitions"}) == {"partitions": 0}


def test_retention_drops_expired_months_and_events_in_the_default_partition(database_url: str) -> None:
    """Months that have completely expired are dropped with their rollups; later ones stay."""
    clock = ManualClock(datetime(2027, 1, 10, tzinfo=UTC))
    with open_ingest(database_url, clock=clock) as ingest:
        when = (
            "2026-10-31T23:59:59Z",
            "2026-11-30T23:59:59Z",
            "2026-12-01T00:00:00Z",
            "2027-01-05T00:00:00Z",
            "1999-01-01T00:00:00Z",
        )
        ingest.handle(batch([wire_event(timestamp=moment) for moment in when]))
        variables = {"DATABASE_URL": database_url, "RETENTION_DAYS": "30"}
        done = build_maintenance(variables, database=ingest.database, clock=clock).handle({})
        assert done["retention"] >= 3
        assert ingest.rows("SELECT min(timestamp), count(*) FROM events") == [(datetime(2026, 12, 1, tzinfo=UTC), 2)]
        assert ingest.rows("SELECT sum(events) FROM event_counts_daily") == [(2,)]
        assert ingest.rows(RECOUNT) == []
        unlimited = build_maintenance({"DATABASE_URL": database_url}, database=ingest.database, clock=clock)
        assert unlimited.handle({"task": "retention"}) == {"retention": 0}


def test_maintenance_does_not_wait_for_a_locked_table(database_url: str) -> None:
    """The partition is created in the next run. The other tasks run, and the error names the failed one."""
    clock = ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    database = open_database(database_url)
    maintenance = build_maintenance({"DATABASE_URL": database_url}, database=database, clock=clock)
    with psycopg.connect(database_url) as holder:
        holder.execute("LOCK TABLE events_default IN ACCESS SHARE MODE")
        with pytest.raises(TransientError, match="partitions"):
            maintenance.handle({})
    assert maintenance.handle({"task": "partitions"})["partitions"] == 4
    with pytest.raises(ConfigurationError, match="gaps"):
        maintenance.handle({"task": "sweeping"})
    database.close()
