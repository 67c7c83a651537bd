"""Finding one event by its id or event_id, with functions whose plans PostgreSQL caches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from cloud_functions.db.events.queries import find_event
from cloud_functions.db.partitions.partitions import Partition, drop_partition, ensure_partition
from tests.support.api_calls import store, stored_event

LONG_AGO = datetime(2019, 5, 4, tzinfo=UTC)
OFTEN = 10
"""Number of executions after which PostgreSQL caches the plan."""


def test_a_partition_created_after_the_plan_is_searched(database_url: str) -> None:
    """An event is found in the default partition and in a partition created later, and not after that is dropped."""
    event_id = UUID("0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11")
    [number] = store(database_url, [stored_event(timestamp=LONG_AGO, event_id=str(event_id))])
    with psycopg.connect(database_url, autocommit=True) as connection:

        def found() -> bool:
            by_number, by_uuid = find_event(connection, number), find_event(connection, event_id)
            assert by_number == by_uuid
            return by_number is not None and by_number.timestamp == LONG_AGO

        assert all(found() for _ in range(OFTEN))
        with connection.transaction():
            assert ensure_partition(connection, LONG_AGO)
        assert all(found() for _ in range(OFTEN))
        with connection.transaction():
            drop_partition(
                connection, Partition("events_2019_05", LONG_AGO.replace(day=1), datetime(2019, 6, 1, tzinfo=UTC))
            )
        assert not any(found() for _ in range(OFTEN))


@pytest.mark.parametrize("days", [0, 1, 900])
def test_an_event_is_found_by_uuid_at_any_time(database_url: str, days: int) -> None:
    """The time in a UUIDv7 only determines where the search starts. Outboxes can be years old and clocks wrong."""
    minted = datetime(2026, 11, 20, 12, tzinfo=UTC)
    event_id = UUID(int=int(minted.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | 5)
    store(database_url, [stored_event(timestamp=minted - timedelta(days=days), event_id=str(event_id))])
    with psycopg.connect(database_url) as connection:
        found = find_event(connection, event_id)
        assert found is not None
        assert found.event_id == str(event_id)
        assert find_event(connection, UUID(int=event_id.int + 1)) is None
        assert find_event(connection, 2**63 - 1) is None
