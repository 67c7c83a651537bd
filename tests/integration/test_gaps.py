"""Gaps in the sequence of a device: detected, requested again, closed, or lost."""

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
    message = {
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
    return body(f"vedette/hq/{device_id}/heartbeat", encoded(message))


def reply(**fields: Any) -> str:
    message = {
        "command_id": "c-1",
        "command": "resend",
        "site_id": "hq",
        "device_id": "gate-01",
        "timestamp": "2026-11-20T12:00:00Z",
        "status": "ok",
        "sequence_epoch": EPOCH,
    } | fields
    return body("vedette/hq/gate-01/replies/c-1", encoded(message))


def test_a_gap_is_requested_with_the_next_batch_and_closes(ingest: IngestHarness) -> None:
    """Two batches with a gap between them, a resend command, the missing events, a closed gap."""
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


def test_a_gap_is_not_requested_during_the_grace_period(database_url: str) -> None:
    """Late events usually arrive without a request."""
    with open_ingest(database_url, GAP_GRACE_S="60") as ingest:
        events = sequence_of(1, 5)
        ingest.handle(batch(events[:1]))
        ingest.handle(batch(events[3:4]))
        ingest.handle(batch(events[4:]))
        assert ingest.rows(OPEN) == [(2, 3, "{[2,4)}")]
        assert ingest.commands.sent == []


def test_batches_out_of_order_leave_no_gap(ingest: IngestHarness) -> None:
    """A gap that closes before its first request is deleted."""
    events = sequence_of(1, 20)
    ingest.handle(batch(events[10:]))
    assert ingest.rows(OPEN) == [(1, 10, "{[1,11)}")]
    ingest.commands.sent.clear()
    with psycopg.connect(ingest.url) as connection:
        connection.execute("UPDATE sequence_gaps SET next_request_at = now() + interval '1 hour'")
    ingest.handle(batch(events[:10]))
    assert ingest.rows("SELECT count(*) FROM sequence_gaps") == [(0,)]


def test_a_new_outbox_starts_at_one(ingest: IngestHarness) -> None:
    """The numbers below the first received one are missing, for each epoch and device."""
    ingest.handle(batch([wire_event(sequence=3), wire_event(sequence=2, sequence_epoch="e2")]))
    ingest.handle(batch([wire_event(sequence=2, device_id="gate-02")]))
    gaps = ingest.rows("SELECT device_id, sequence_epoch, missing::text FROM sequence_gaps ORDER BY 1, 2")
    assert gaps == [("gate-01", "e1", "{[1,3)}"), ("gate-01", "e2", "{[1,2)}"), ("gate-02", "e1", "{[1,2)}")]


def test_events_without_a_valid_sequence_are_not_tracked(ingest: IngestHarness) -> None:
    """Events with no sequence, no epoch, zero, or a number that is too large are stored, but not tracked."""
    odd = [{"sequence": None}, {"sequence": 4, "sequence_epoch": None}, {"sequence": 0}, {"sequence": 2**63 - 1}]
    assert failures(ingest.handle(batch([wire_event(**fields) for fields in odd]))) == []
    assert ingest.rows("SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM device_sequences)") == [(4, 0)]


def test_a_rejected_event_is_not_missing(ingest: IngestHarness) -> None:
    """It has arrived; a resend would be rejected again."""
    one, invalid, three = sequence_of(1, 3)
    invalid["event_data"]["confidence"] = 12
    ingest.handle(batch([one, invalid, three]))
    assert ingest.dead_letters.reasons() == ["invalid"]
    assert ingest.rows(OPEN) == []
    ingest.handle(batch([wire_event(sequence=[4]), wire_event(sequence=4, sequence_epoch="x" * 65)]))
    assert ingest.rows("SELECT highest FROM device_sequences") == [(3,)]


def test_a_heartbeat_reveals_a_gap_at_the_end(ingest: IngestHarness) -> None:
    """No later event shows that the last events before a pause are missing."""
    ingest.handle(batch(sequence_of(1, 3)))
    ingest.handle(batch_of([heartbeat(5)]))
    assert ingest.rows(OPEN) == [(4, 5, "{[4,6)}")]
    assert ingest.commands.ranges() == [[[4, 5]]]
    ingest.handle(batch_of([heartbeat(5), heartbeat(3)]))
    assert len(ingest.rows(OPEN)) == 1


def test_pending_events_are_not_missing(ingest: IngestHarness) -> None:
    """A device that was offline has a backlog, not a gap."""
    ingest.handle(batch(sequence_of(1, 3)))
    ingest.handle(batch_of([heartbeat(100, pending=97)]))
    assert ingest.rows(OPEN) == []
    ingest.handle(batch_of([heartbeat(5, pending=900, epoch="fresh")]))
    assert ingest.rows(OPEN) == []


def test_dropped_events_are_lost_and_not_requested(ingest: IngestHarness) -> None:
    """The dropped ranges of a heartbeat are lost; the rest of a gap is still requested."""
    ingest.handle(batch([*sequence_of(1, 2), *sequence_of(10, 10)]))
    ingest.handle(batch_of([heartbeat(10, dropped_ranges=[[3, 5], [7, 7], [2, 2], [0, 1], [9, 8], [2**70, 2**71]])]))
    state = "SELECT state, missing::text, lost::text FROM sequence_gaps"
    assert ingest.rows(state) == [("open", "{[6,7),[8,10)}", "{[3,6),[7,8)}")]
    assert ingest.commands.ranges()[-1] == [[6, 6], [8, 9]]
    ingest.handle(batch([*sequence_of(6, 6), *sequence_of(8, 9)]))
    assert ingest.rows(state) == [("lost", "{}", "{[3,6),[7,8)}")]
    ingest.handle(batch([*sequence_of(3, 5), *sequence_of(7, 7)]))
    assert ingest.rows(state) == [("closed", "{}", "{}")]


def test_a_reply_marks_unavailable_events_as_lost(ingest: IngestHarness) -> None:
    """The reply to a resend command names the numbers that the device no longer has."""
    ingest.handle(batch(sequence_of(5, 5)))
    ingest.handle(batch_of([reply(status="error", unavailable=[[1, 4]])]))
    assert ingest.rows("SELECT state, lost::text FROM sequence_gaps") == [("lost", "{[1,5)}")]
    assert failures(ingest.handle(batch_of([reply(command="snapshot")]))) == []


def test_requests_back_off_until_there_is_progress(database_url: str) -> None:
    """The interval doubles without a reply. After progress, the first interval applies again."""
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
    """A large gap is requested in parts."""
    with open_ingest(database_url, GAP_SEQUENCES_PER_REQUEST="100", **NO_GRACE) as ingest:
        ingest.handle(batch([*sequence_of(41, 41), *sequence_of(1_000_000, 1_000_000)]))
        ingest.handle(batch_of([heartbeat(1_000_000)]))
        assert ingest.commands.ranges() == [[[1, 40], [42, 101]]]


def test_an_unavailable_broker_delays_the_request(ingest: IngestHarness) -> None:
    """The events are stored and acknowledged; the gap is due again later."""
    ingest.commands.unavailable = True
    ingest.handle(batch(sequence_of(5, 5)))
    assert failures(ingest.handle(batch(sequence_of(6, 6)))) == []
    ingest.commands.unavailable = False
    ingest.handle(batch(sequence_of(7, 7)))
    assert ingest.commands.ranges() == [[[1, 4]]]


def test_the_gaps_task_requests_gaps_of_devices_without_traffic(database_url: str) -> None:
    """It sends requests only to devices seen recently, and marks the oldest gaps as lost."""
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


def test_a_device_can_have_the_name_of_a_topic_level(ingest: IngestHarness) -> None:
    """For example ``events`` or ``status``."""
    odd = [wire_event(device_id="events", sequence=1), wire_event(site_id="heartbeat", device_id="status")]
    assert failures(ingest.handle(batch(odd))) == []
    assert failures(ingest.handle(batch_of([heartbeat(1, device_id="events")]))) == []
    assert ingest.dead_letters.sent == []
    assert ingest.rows("SELECT device_id, agent_version FROM devices ORDER BY 1") == [
        ("events", "1.2.3"),
        ("status", None),
    ]


def test_the_state_of_a_device_is_updated(ingest: IngestHarness) -> None:
    """By events, heartbeats and the last will, in any order of arrival."""
    ingest.handle(batch([wire_event()]))
    state = "SELECT site_id, status, agent_version, heartbeat ->> 'uptime_seconds' FROM devices"
    assert ingest.rows(state) == [("hq", None, None, None)]
    ingest.handle(batch_of([heartbeat(0), heartbeat(0, at="2026-11-20T11:00:00Z").replace("1.2.3", "0.9")]))
    assert ingest.rows(state) == [("hq", "online", "1.2.3", "5.0")]
    will = encoded(
        {"schema_version": 1, "device_id": "gate-01", "status": "offline", "timestamp": "2026-11-01T00:00:00Z"}
    )
    topic = "vedette/hq/gate-01/status"
    later = 1_795_176_000_000 + 5_000
    ingest.handle(batch_of([body(topic, will, received_at_ms=later)]))
    assert ingest.rows(state)[0][1] == "offline"
    ingest.handle(batch_of([body(topic, will.replace(b"offline", b"online"), received_at_ms=later - 1)]))
    assert ingest.rows(state)[0][1] == "offline"


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
def test_an_invalid_device_message_does_not_affect_others(ingest: IngestHarness, text: str, reason: str) -> None:
    """Device messages are checked against their contract and their topic, like events."""
    assert failures(ingest.handle(batch_of([text, heartbeat(0)]))) == []
    assert ingest.dead_letters.reasons() == [reason]
    assert ingest.rows("SELECT count(*) FROM devices") == [(1,)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(1, 25), min_size=1, max_size=8), min_size=1, max_size=8))
def test_gaps_are_exact_for_any_order_of_arrival(database_url: str, batches: list[list[int]]) -> None:
    """Exactly the numbers below the highest one that have not arrived are missing."""
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE events, device_sequences, sequence_gaps")
    with open_ingest(database_url, GAP_GRACE_S="3600") as ingest:
        for numbers in batches:
            ingest.handle(batch([wire_event(sequence=number) for number in numbers]))
    arrived = {number for numbers in batches for number in numbers}
    missing = rows(
        database_url, "SELECT lower(r), upper(r) FROM sequence_gaps, unnest(missing) AS r WHERE state = 'open'"
    )
    reported = {number for first, end in missing for number in range(first, end)}
    assert reported == set(range(1, max(arrived))) - arrived


def test_cloud_25_gaps_are_exact_under_concurrency(database_url: str) -> None:
    """Eight concurrent ingests with overlapping, repeated and reordered batches leave exactly the real gaps."""
    events = sequence_of(1, 400)
    missing = {77, 78, 200, 399}
    received = [event for event in events if event["sequence"] not in missing]
    errors: list[Exception] = []

    def work(number: int) -> None:
        with open_ingest(database_url, GAP_GRACE_S="3600") as ingest:
            mine = received[number::8] + received[(number + 1) % 8 :: 8]
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
    gaps = rows(database_url, "SELECT lower(r), upper(r) FROM sequence_gaps, unnest(missing) AS r WHERE state = 'open'")
    assert {number for first, end in gaps for number in range(first, end)} == missing
