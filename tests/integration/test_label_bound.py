"""The limit on class and zone names that a site may use in a month."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.clock import format_utc
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest
from tests.support.wire_events import NOON, batch, detection_data, failures, motion_data, tracking_data, wire_event

LABELS = "SELECT DISTINCT kind, label FROM event_label_counts WHERE site_id = 'hq' AND events > 0"


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url, MAX_LABELS_PER_SITE="20") as one:
        yield one


def test_cloud_c14_names_beyond_the_limit_are_rejected(ingest: IngestHarness) -> None:
    """Events with new names are stored up to the limit; events with known names, or none, are always stored."""
    odd = [wire_event("detection", event_data=detection_data(*(f"x{n}-{i}" for i in range(5)))) for n in range(40)]
    plain = [wire_event(sequence=number) for number in range(1, 4)]
    assert failures(ingest.handle(batch([plain[0], *odd[:20], plain[1], *odd[20:], wire_event("motion")]))) == []
    assert failures(ingest.handle(batch([plain[2], *odd]))) == []
    assert set(ingest.dead_letters.reasons()) == {"too_many_labels"}
    assert "MAX_LABELS_PER_SITE" in ingest.dead_letters.sent[0].detail
    assert len(ingest.rows(LABELS)) == 17  # person, gate, and three events of five
    assert ingest.rows("SELECT event_type, count(*) FROM events GROUP BY 1 ORDER BY 1") == [
        ("detection", 3),
        ("motion", 1),
        ("tracking", 3),
    ]
    assert ingest.rows(RECOUNT) == []


def test_cloud_c14_limit_applies_per_site_and_month(ingest: IngestHarness) -> None:
    """Another site and another month have their own limit; a process that starts later knows the names in use."""
    full = [wire_event(event_data=tracking_data(class_name=f"c{n}", zones=[])) for n in range(25)]
    ingest.handle(batch(full))
    assert len(ingest.rows(LABELS)) == 20
    assert len(ingest.dead_letters.sent) == 5
    more = tracking_data(class_name="new", zones=["new"])
    elsewhere = wire_event(site_id="branch", device_id="gate-07", event_data=more)
    later = wire_event(timestamp=format_utc(NOON.replace(month=10)), event_data=more)
    with open_ingest(ingest.url, MAX_LABELS_PER_SITE="20") as other:
        assert failures(other.handle(batch([elsewhere, later, wire_event(event_data=more), full[3]]))) == []
        assert other.dead_letters.reasons() == ["too_many_labels"]
        assert other.metrics.counts["EventsStored"] == 2
        assert other.rows(RECOUNT) == []


def test_cloud_c14_rejected_events_leave_no_gap(ingest: IngestHarness) -> None:
    """A rejected event has arrived, so its sequence is not requested again."""
    events = [
        wire_event(sequence=number, event_data=tracking_data(class_name=f"c{number}", zones=[]))
        for number in range(1, 31)
    ]
    ingest.handle(batch(events))
    assert ingest.rows("SELECT * FROM sequence_gaps") == []
    assert ingest.rows("SELECT highest FROM device_sequences") == [(30,)]


def test_cloud_c14_concurrent_writers_share_the_limit(database_url: str) -> None:
    """Concurrent writers with different names stay within the limit together, without a deadlock."""

    def write(writer: int) -> list[str]:
        with open_ingest(database_url, MAX_LABELS_PER_SITE="20") as ingest:
            for number in range(12):
                data = tracking_data(class_name=f"w{writer}-{number}", zones=["gate"])
                assert failures(ingest.handle(batch([wire_event(event_data=data), wire_event("motion")]))) == []
            return ingest.dead_letters.reasons()

    with ThreadPoolExecutor(4) as pool:
        rejected = [reason for reasons in pool.map(write, range(4)) for reason in reasons]
    with open_ingest(database_url) as ingest:
        assert len(ingest.rows(LABELS)) == 20
        assert len(rejected) == 48 - 19
        assert ingest.rows("SELECT count(*) FROM events WHERE event_type = 'motion'") == [(48,)]
        assert ingest.rows(RECOUNT) == []


NAMES = st.sampled_from([f"n{number}" for number in range(40)])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(NAMES, st.lists(NAMES, max_size=4)), max_size=8), max_size=4))
def test_cloud_c14_every_event_is_stored_or_rejected_once(
    database_url: str, batches: list[list[tuple[str, list[str]]]]
) -> None:
    """For any names in any order no event is lost, returned or duplicated, and the limit is kept."""
    with open_ingest(database_url, MAX_LABELS_PER_SITE="10") as ingest:
        with ingest.database.transaction() as connection:
            connection.execute("TRUNCATE events")
        sent = 0
        for chosen in batches:
            events = [wire_event(event_data=tracking_data(class_name=name, zones=zones)) for name, zones in chosen]
            events.append(wire_event("motion", event_data=motion_data()))
            sent += len(events)
            assert failures(ingest.handle(batch(events))) == []
        [(stored,)] = ingest.rows("SELECT count(*) FROM events")
        assert stored + len(ingest.dead_letters.sent) == sent
        assert len(ingest.publisher.published) == stored
        assert len(ingest.rows(LABELS)) <= 10
        assert ingest.rows(RECOUNT) == []
