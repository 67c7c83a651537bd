"""An event that a device sends again with the corrected time, after its clock was set, is stored once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest

from cloud_functions.db.retention.holds import HeldItem, NewHold, place_hold, release_hold
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest
from tests.support.wire_events import batch, failures, wire_event

WRONG, RIGHT = "2026-10-20T11:00:00.000000Z", "2026-11-18T11:00:00.000000Z"


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url) as made:
        yield made


def corrected(event: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return event | {"timestamp": RIGHT, "superseded_timestamps": [event["timestamp"]]} | fields


def times(ingest: IngestHarness) -> list[str]:
    query = """SELECT to_char("timestamp" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM events"""
    return sorted(row[0] for row in ingest.rows(query))


def test_edge_08_corrected_event_replaces_the_stored_one(ingest: IngestHarness) -> None:
    """One row has the corrected time, counts agree, and other events do not change; also if it is delivered twice."""
    before, neighbour = wire_event(timestamp=WRONG), wire_event(timestamp=WRONG)
    ingest.handle(batch([before, neighbour]))
    for _ in range(2):
        assert failures(ingest.handle(batch([corrected(before)]))) == []
    assert times(ingest) == [WRONG, RIGHT]
    assert ingest.dead_letters.reasons() == []
    assert ingest.rows(RECOUNT) == []


def test_a_corrected_event_does_not_replace_one_on_hold(ingest: IngestHarness, database_url: str) -> None:
    """The copy that is held stays as it is; the corrected one waits as a dead letter, and is stored after the release.

    Otherwise a device could delete what a hold on its camera and that time protects.
    """
    held, free = wire_event(timestamp=WRONG), wire_event(timestamp=WRONG, camera_id="elsewhere")
    ingest.handle(batch([held, free]))
    with psycopg.connect(database_url) as connection:
        item = HeldItem(None, held["camera_id"], None, datetime.fromisoformat(WRONG))
        hold = place_hold(connection, NewHold("case 7", "a court", "ana", None, [item]))
    ingest.handle(batch([corrected(held), corrected(free)]))
    assert times(ingest) == [WRONG, RIGHT]
    assert ingest.dead_letters.reasons() == ["event_id_taken"]
    with psycopg.connect(database_url) as connection:
        release_hold(connection, hold.hold_id, by="ana", reason="closed")
    ingest.handle(batch([corrected(held)]))
    assert times(ingest) == [RIGHT, RIGHT]
    assert ingest.rows(RECOUNT) == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_edge_08_both_versions_in_one_batch_are_one_event(ingest: IngestHarness, order: tuple[int, int]) -> None:
    """In either order, one row is stored and nothing is rejected."""
    before = wire_event(timestamp=WRONG)
    both = [before, corrected(before)]
    assert failures(ingest.handle(batch([both[place] for place in order]))) == []
    assert len(times(ingest)) == 1
    assert ingest.dead_letters.reasons() == []


def test_edge_08_event_of_another_device_is_not_replaced(ingest: IngestHarness) -> None:
    """An event with the same id from another device deletes nothing."""
    mine = wire_event(timestamp=WRONG)
    ingest.handle(batch([mine]))
    ingest.handle(batch([corrected(mine, device_id="gate-66")]))
    assert WRONG in times(ingest)


@pytest.mark.parametrize("odd", ["x", 7, None, {}, [7, None, "x", "2026-01-01", "9999-12-31T23:59:59-23:00"]])
def test_edge_08_invalid_superseded_timestamps_are_ignored(ingest: IngestHarness, odd: object) -> None:
    """A field with an unexpected type affects neither its event nor another one."""
    assert failures(ingest.handle(batch([wire_event(superseded_timestamps=odd), wire_event()]))) == []
    assert len(times(ingest)) == 2
