"""Holes in a device's sequence: found, asked for, healed, or known to be lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_functions.maintenance.handler import build_maintenance
from tests.support.ingest_harness import IngestHarness, open_ingest, rows
from tests.support.wire_events import EPOCH, batch, batch_of, body, encoded, failures, sequence_of, wire_event

OPEN = "SELECT first_sequence, last_sequence, missing::text FROM sequence_gaps WHERE state = 'open' ORDER BY 1"
NO_GRACE = {"GAP_GRACE_S": "0", "GAP_FIRST_RETRY_S": "0"}


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url, **NO_GRACE) as one:
        yield one


def heartbeat(
    last_sequence: int,
    *,
    pending: int = 0,
    epoch: str = EPOCH,
    at: str = "2026-11-20T12:00:00Z",
    device_id: str = "gate-01",
    **outbox: Any,
) -> str:
    told = {
        "schema_version": 1,
        "site_id": "hq",
        "device_id": device_id,
        "timestamp": at,
        "agent_version": "1.2.3",
        "uptime_seconds": 5.0,
        "outbox": {
            "sequence_epoch": epoch,
            "last_sequence": last_sequence,
            "pending_events": pending,
            "pending_bytes": 0,
            "dropped_events": 0,
        }
        | outbox,
    }
    return body(f"vedette/hq/{device_id}/heartbeat", encoded(told))


def reply(**fields: Any) -> str:
    told = {
        "command_id": "c-1",
        "command": "resend",
        "site_id": "hq",
        "device_id": "gate-01",
        "timestamp": "2026-11-20T12:00:00Z",
        "status": "ok",
        "sequence_epoch": EPOCH,
    } | fields
    return body("vedette/hq/gate-01/replies/c-1", encoded(told))


def test_a_hole_is_asked_for_on_next_traffic_and_closes(ingest: IngestHarness) -> None:
    """The whole story: two batches with a hole between, a resend command, the missing events, a closed gap."""
    events = sequence_of(1, 10)
    ingest.handle(batch(events[:3]))
    ingest.handle(batch(events[6:8]))
    assert ingest.rows(OPEN) == [(4, 6, "{[4,7)}")]
    assert ingest.commands.sent == []
    ingest.handle(batch(events[8:]))
    [(topic, command)] = ingest.commands.sent
    assert topic == "vedette/hq/gate-01/commands/resend"
    assert (command["sequence_epoch"], command["ranges"]) == (EPOCH, [[4, 6]])
    ingest.handle(batch(events[3:5]))
    assert ingest.rows(OPEN) == [(4, 6, "{[6,7)}")]
    ingest.handle(batch(events[5:6]))
    assert ingest.rows("SELECT state, attempts >= 1, closed_at IS NOT NULL FROM sequence_gaps") == [
        ("closed", True, True)
    ]


def test_a_hole_waits_a_few_seconds_before_it_is_asked_for(database_url: str) -> None:
    """Late neighbours usually arrive by themselves."""
    with open_ingest(database_url, GAP_GRACE_S="60") as ingest:
        events = sequence_of(1, 5)
        ingest.handle(batch(events[:1]))
        ingest.handle(batch(events[3:4]))
        ingest.handle(batch(events[4:]))
        assert ingest.rows(OPEN) == [(2, 3, "{[2,4)}")]
        assert ingest.commands.sent == []


def test_overtaking_batches_leave_no_trace(ingest: IngestHarness) -> None:
    """A hole that fills before anybody asked was no loss."""
    events = sequence_of(1, 20)
    ingest.handle(batch(events[10:]))
    assert ingest.rows(OPEN) == [(1, 10, "{[1,11)}")]
    ingest.commands.sent.clear()
    with psycopg.connect(ingest.url) as connection:
        connection.execute("UPDATE sequence_gaps SET next_request_at = now() + interval '1 hour'")
    ingest.handle(batch(events[:10]))
    assert ingest.rows("SELECT count(*) FROM sequence_gaps") == [(0,)]


def test_a_new_outbox_counts_from_one(ingest: IngestHarness) -> None:
    """What came before the first event that arrives is missing, per epoch and per device."""
    ingest.handle(batch([wire_event(sequence=3), wire_event(sequence=2, sequence_epoch="e2")]))
    ingest.handle(batch([wire_event(sequence=2, device_id="gate-02")]))
    found = ingest.rows("SELECT device_id, sequence_epoch, missing::text FROM sequence_gaps ORDER BY 1, 2")
    assert found == [("gate-01", "e1", "{[1,3)}"), ("gate-01", "e2", "{[1,2)}"), ("gate-02", "e1", "{[1,2)}")]


def test_events_without_a_place_are_not_counted(ingest: IngestHarness) -> None:
    """No sequence, no epoch, zero, or a number beyond all reason: stored, but no part of the account."""
    odd = [{"sequence": None}, {"sequence": 4, "sequence_epoch": None}, {"sequence": 0}, {"sequence": 2**63 - 1}]
    assert failures(ingest.handle(batch([wire_event(**fields) for fields in odd]))) == []
    assert ingest.rows("SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM device_sequences)") == [(4, 0)]


def test_a_rejected_event_is_not_missing(ingest: IngestHarness) -> None:
    """It arrived; asking for it again and again would bring the same poison."""
    one, poison, three = sequence_of(1, 3)
    poison["event_data"]["confidence"] = 12
    ingest.handle(batch([one, poison, three]))
    assert ingest.dead_letters.reasons() == ["invalid"]
    assert ingest.rows(OPEN) == []
    ingest.handle(batch([wire_event(sequence=[4]), wire_event(sequence=4, sequence_epoch="x" * 65)]))
    assert ingest.rows("SELECT highest FROM device_sequences") == [(3,)]


def test_a_heartbeat_reveals_a_hole_at_the_tail(ingest: IngestHarness) -> None:
    """The last events before a silence have no successor that would betray them."""
    ingest.handle(batch(sequence_of(1, 3)))
    ingest.handle(batch_of([heartbeat(5)]))
    assert ingest.rows(OPEN) == [(4, 5, "{[4,6)}")]
    assert ingest.commands.ranges() == [[[4, 5]]]
    ingest.handle(batch_of([heartbeat(5), heartbeat(3)]))
    assert len(ingest.rows(OPEN)) == 1


def test_what_still_waits_on_the_device_is_not_missing(ingest: IngestHarness) -> None:
    """A device that was offline has a backlog, not a hole."""
    ingest.handle(batch(sequence_of(1, 3)))
    ingest.handle(batch_of([heartbeat(100, pending=97)]))
    assert ingest.rows(OPEN) == []
    ingest.handle(batch_of([heartbeat(5, pending=900, epoch="fresh")]))
    assert ingest.rows(OPEN) == []


def test_what_the_device_dropped_is_lost_not_asked_for(ingest: IngestHarness) -> None:
    """Dropped ranges of a heartbeat settle the part of a gap that they cover."""
    ingest.handle(batch([*sequence_of(1, 2), *sequence_of(10, 10)]))
    ingest.handle(batch_of([heartbeat(10, dropped_ranges=[[3, 5], [7, 7], [2, 2], [0, 1], [9, 8], [2**70, 2**71]])]))
    state = "SELECT state, missing::text, lost::text FROM sequence_gaps"
    assert ingest.rows(state) == [("open", "{[6,7),[8,10)}", "{[3,6),[7,8)}")]
    assert ingest.commands.ranges()[-1] == [[6, 6], [8, 9]]
    ingest.handle(batch([*sequence_of(6, 6), *sequence_of(8, 9)]))
    assert ingest.rows(state) == [("lost", "{}", "{[3,6),[7,8)}")]
    ingest.handle(batch([*sequence_of(3, 5), *sequence_of(7, 7)]))
    assert ingest.rows(state) == [("closed", "{}", "{}")]


def test_a_reply_says_what_is_no_longer_held(ingest: IngestHarness) -> None:
    """The answer to a resend settles what cannot come."""
    ingest.handle(batch(sequence_of(5, 5)))
    ingest.handle(batch_of([reply(status="error", unavailable=[[1, 4]])]))
    assert ingest.rows("SELECT state, lost::text FROM sequence_gaps") == [("lost", "{[1,5)}")]
    assert failures(ingest.handle(batch_of([reply(command="snapshot")]))) == []


def test_requests_back_off_and_progress_starts_afresh(database_url: str) -> None:
    """A device that does not answer is asked ever more rarely; one that does, again soon."""
    with open_ingest(database_url, GAP_GRACE_S="0", GAP_FIRST_RETRY_S="10", GAP_LONGEST_RETRY_S="60") as ingest:
        wait = "SELECT attempts, round(extract(epoch FROM next_request_at - now()), -1)::int FROM sequence_gaps"
        ingest.handle(batch(sequence_of(5, 5)))
        seen = []
        for number in range(6, 11):
            ingest.handle(batch(sequence_of(number, number)))
            seen += ingest.rows(wait)
            with psycopg.connect(ingest.url) as connection:
                connection.execute("UPDATE sequence_gaps SET next_request_at = now() - interval '1 second'")
        assert seen == [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60)]
        with psycopg.connect(ingest.url) as connection:
            connection.execute("UPDATE sequence_gaps SET next_request_at = now() + interval '1 hour'")
        ingest.handle(batch(sequence_of(3, 3)))
        assert ingest.rows(wait) == [(5, 10)]


def test_a_request_is_bounded(database_url: str) -> None:
    """A month of missing events is asked for in portions."""
    with open_ingest(database_url, GAP_SEQUENCES_PER_REQUEST="100", **NO_GRACE) as ingest:
        ingest.handle(batch([*sequence_of(41, 41), *sequence_of(1_000_000, 1_000_000)]))
        ingest.handle(batch_of([heartbeat(1_000_000)]))
        assert ingest.commands.ranges() == [[[1, 40], [42, 101]]]


def test_a_broker_that_is_away_only_delays(ingest: IngestHarness) -> None:
    """The events are stored and acknowledged; the gap is due again later."""
    ingest.commands.unavailable = True
    ingest.handle(batch(sequence_of(5, 5)))
    assert failures(ingest.handle(batch(sequence_of(6, 6)))) == []
    ingest.commands.unavailable = False
    ingest.handle(batch(sequence_of(7, 7)))
    assert ingest.commands.ranges() == [[[1, 4]]]


def test_the_sweep_asks_on_behalf_of_quiet_devices(database_url: str) -> None:
    """A device that only was heard of lately is asked; one silent for long is not; the oldest gaps are given up."""
    with open_ingest(database_url, **NO_GRACE) as ingest:
        ingest.handle(batch(sequence_of(5, 5)))
        ingest.handle(batch(sequence_of(9, 9, device_id="gate-02")))
        ingest.handle(batch(sequence_of(3, 3, device_id="gate-03")))
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "UPDATE devices SET last_seen_at = now() - interval '1 hour' WHERE device_id = 'gate-02'"
            )
            connection.execute(
                "UPDATE sequence_gaps SET opened_at = now() - interval '9 days' WHERE device_id = 'gate-03'"
            )
        maintenance = build_maintenance(
            {"DATABASE_URL": database_url} | NO_GRACE, database=ingest.database, commands=ingest.commands
        )
        assert maintenance.handle({"task": "gaps"}) == {"gaps": 1}
        assert [topic for topic, _ in ingest.commands.sent] == ["vedette/hq/gate-01/commands/resend"]
        assert ingest.rows("SELECT state, lost::text FROM sequence_gaps WHERE device_id = 'gate-03'") == [
            ("lost", "{[1,3)}")
        ]


def test_a_device_may_be_called_anything(ingest: IngestHarness) -> None:
    """Even what the topic's own levels are called."""
    odd = [wire_event(device_id="events", sequence=1), wire_event(site_id="heartbeat", device_id="status")]
    assert failures(ingest.handle(batch(odd))) == []
    assert failures(ingest.handle(batch_of([heartbeat(1, device_id="events")]))) == []
    assert ingest.dead_letters.sent == []
    assert ingest.rows("SELECT device_id, agent_version FROM devices ORDER BY 1") == [
        ("events", "1.2.3"),
        ("status", None),
    ]


def test_devices_are_kept_up_to_date(ingest: IngestHarness) -> None:
    """Heard of by events, described by heartbeats, marked offline by the last will, whatever overtakes what."""
    ingest.handle(batch([wire_event()]))
    known = "SELECT site_id, status, agent_version, heartbeat ->> 'uptime_seconds' FROM devices"
    assert ingest.rows(known) == [("hq", None, None, None)]
    ingest.handle(batch_of([heartbeat(0), heartbeat(0, at="2026-11-20T11:00:00Z").replace("1.2.3", "0.9")]))
    assert ingest.rows(known) == [("hq", "online", "1.2.3", "5.0")]
    will = encoded(
        {"schema_version": 1, "device_id": "gate-01", "status": "offline", "timestamp": "2026-11-01T00:00:00Z"}
    )
    topic = "vedette/hq/gate-01/status"
    later = 1_795_176_000_000 + 5_000
    ingest.handle(batch_of([body(topic, will, received_at_ms=later)]))
    assert ingest.rows(known)[0][1] == "offline"
    ingest.handle(batch_of([body(topic, will.replace(b"offline", b"online"), received_at_ms=later - 1)]))
    assert ingest.rows(known)[0][1] == "offline"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (body("vedette/hq/gate-01/heartbeat", b"{"), "not_json"),
        (body("vedette/hq/gate-01/heartbeat", b"{}"), "invalid"),
        (heartbeat(1).replace('received_at_ms":1795176000000', 'received_at_ms":99999999999999999999'), "bad_envelope"),
        (body("vedette/hq/gate-02/heartbeat", json.dumps({}).encode()), "invalid"),
        (body("vedette/hq/gate-02/status", b'{"device_id": "gate-01", "status": "online"}'), "topic_mismatch"),
        (
            body("vedette/hq/gate-01/status", b'{"device_id": "gate-01", "status": "online", "x": "\\u0000"}'),
            "nul_character",
        ),
        (body("vedette/hq/gate-01/status", b" " * 200_000), "too_large"),
        (reply(device_id="gate-02"), "topic_mismatch"),
    ],
)
def test_a_bad_report_harms_only_itself(ingest: IngestHarness, text: str, reason: str) -> None:
    """Reports are held to their contract and their topic as events are."""
    assert failures(ingest.handle(batch_of([text, heartbeat(0)]))) == []
    assert ingest.dead_letters.reasons() == [reason]
    assert ingest.rows("SELECT count(*) FROM devices") == [(1,)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(1, 25), min_size=1, max_size=8), min_size=1, max_size=8))
def test_the_account_is_exact_whatever_arrives_in_whatever_order(database_url: str, batches: list[list[int]]) -> None:
    """Missing is exactly what lies below the highest and has not arrived."""
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE events, device_sequences, sequence_gaps")
    with open_ingest(database_url, GAP_GRACE_S="3600") as ingest:
        for numbers in batches:
            ingest.handle(batch([wire_event(sequence=number) for number in numbers]))
    arrived = {number for numbers in batches for number in numbers}
    missing = rows(
        database_url, "SELECT lower(r), upper(r) FROM sequence_gaps, unnest(missing) AS r WHERE state = 'open'"
    )
    told = {number for first, end in missing for number in range(first, end)}
    assert told == set(range(1, max(arrived))) - arrived


def test_cloud_25_the_account_is_exact_under_concurrency(database_url: str) -> None:
    """Eight ingests at once, overlapping, repeating and overtaking one another: no gap left behind, none invented."""
    events = sequence_of(1, 400)
    missing = {77, 78, 200, 399}
    arriving = [event for event in events if event["sequence"] not in missing]
    errors: list[Exception] = []

    def work(number: int) -> None:
        with open_ingest(database_url, GAP_GRACE_S="3600") as ingest:
            mine = arriving[number::8] + arriving[(number + 1) % 8 :: 8]
            if number % 2:
                mine.reverse()
            try:
                for start in range(0, len(mine), 9):
                    assert failures(ingest.handle(batch(mine[start : start + 9]))) == []
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert rows(database_url, "SELECT count(*), count(DISTINCT event_id) FROM events") == [(396, 396)]
    found = rows(
        database_url, "SELECT lower(r), upper(r) FROM sequence_gaps, unnest(missing) AS r WHERE state = 'open'"
    )
    assert {number for first, end in found for number in range(first, end)} == missing
