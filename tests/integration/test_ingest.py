"""Ingest on a real PostgreSQL: which events are stored, published and rejected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.clock import format_utc
from shared.errors import TransientError
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest
from tests.support.wire_events import (
    EPOCH,
    anpr_data,
    batch,
    batch_of,
    body,
    detection_data,
    encoded,
    failures,
    message_ids,
    mixed_traffic,
    motion_data,
    rule_data,
    sequence_of,
    topic_of,
    tracking_data,
    wire_event,
)


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url) as one:
        yield one


def test_an_event_is_stored_and_published_completely(ingest: IngestHarness) -> None:
    """Every wire field is stored in its column, and subscribers get the flat form with the row's id."""
    event = wire_event(sequence=1, made_by="a newer agent")
    assert failures(ingest.handle(batch([event]))) == []
    [row] = ingest.rows(
        "SELECT id, event_id::text, site_id, device_id, camera_id, event_type, timestamp, frame_number, sequence,"
        " sequence_epoch, snapshot_path, snapshot, event_data, class_names, zones, confidence, created_at FROM events"
    )
    moment = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    assert row[1:11] == (
        event["event_id"], "hq", "gate-01", "camera-1", "tracking", moment, 1234, 1, EPOCH, event["snapshot"]["key"]
    )  # fmt: skip
    assert row[11] == event["snapshot"]
    assert {key: row[12][key] for key in event["event_data"]} == event["event_data"]
    assert row[13:16] == (["person"], ["gate"], 0.91)
    [document] = ingest.publisher.documents()
    assert document == {
        "id": row[0],
        "event_id": event["event_id"],
        "event_type": "tracking",
        "camera_id": "camera-1",
        "site_id": "hq",
        "device_id": "gate-01",
        "timestamp": "2026-11-20T12:00:00.000000Z",
        "frame_number": 1234,
        "snapshot_path": event["snapshot"]["key"],
        "event_data": row[12],
        "created_at": format_utc(row[16]),
    }
    assert ingest.publisher.published[0].attributes == {
        "event_type": "tracking", "camera_id": "camera-1", "site_id": "hq", "class_name": "person"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event", "class_names", "zones", "confidence", "plate"),
    [
        (wire_event("tracking", event_data=tracking_data(zones=[])), ["person"], None, 0.91, None),
        (wire_event("motion"), None, None, None, None),
        (
            wire_event("detection", event_data=detection_data("car", "car", "bus")),
            ["car", "car", "bus"],
            None,
            0.8,
            None,
        ),
        (wire_event("detection", event_data=detection_data()), None, None, None, None),
        (wire_event("anpr"), None, None, 0.93, "B123ABC"),
        (
            wire_event("motion", event_data=motion_data(class_name="x", zones=["y"]), snapshot=None),
            None,
            None,
            None,
            None,
        ),
    ],
)
def test_filter_columns_follow_from_the_data(
    ingest: IngestHarness,
    event: dict[str, object],
    class_names: list[str] | None,
    zones: list[str] | None,
    confidence: float | None,
    plate: str | None,
) -> None:
    """Each event type sets its own filter columns and no others."""
    assert failures(ingest.handle(batch([event]))) == []
    found = ingest.rows("SELECT class_names, zones, confidence, license_plate FROM events")
    assert found == [(class_names, zones, confidence, plate)]
    assert ingest.rows(RECOUNT) == []


def test_a_large_batch_is_stored_in_chunks(database_url: str) -> None:
    """Chunking does not change what is stored, published or counted."""
    with open_ingest(database_url, INGEST_CHUNK_SIZE="70") as ingest:
        events = mixed_traffic(500)
        assert failures(ingest.handle(batch(events))) == []
        assert ingest.rows("SELECT count(*), count(DISTINCT event_id) FROM events") == [(500, 500)]
        published = {document["event_id"] for document in ingest.publisher.documents()}
        assert published == {event["event_id"] for event in events}
        assert ingest.rows(RECOUNT) == []
        assert ingest.rows("SELECT * FROM sequence_gaps") == []
        assert ingest.metrics.counts == {"EventsStored": 500}


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), st.booleans())
def test_any_text_is_stored_and_published_unchanged(
    database_url: str, texts: list[tuple[str, str]], again: bool
) -> None:
    """Backslashes, tabs, line ends, quotes and characters of any plane survive both insert statements."""
    events = [wire_event(event_data=tracking_data(class_name=name, oddity={name: value})) for name, value in texts]
    with open_ingest(database_url) as ingest:
        if again:
            ingest.handle(batch(events[:1]))  # with a stored event in the batch, ingest uses the other insert statement
        assert failures(ingest.handle(batch(events))) == []
        stored = dict(ingest.rows("SELECT event_id::text, event_data FROM events"))
        for event in events:
            data = event["event_data"]
            assert {key: stored[event["event_id"]][key] for key in data} == data
        for document in ingest.publisher.documents():
            assert document["event_data"] == stored[document["event_id"]]


def test_duplicates_are_stored_once_and_published_again_unchanged(ingest: IngestHarness) -> None:
    """Within a batch and across batches, a repeated publication has the stored row's id and time."""
    one, two = wire_event(sequence=1), wire_event(sequence=2)
    assert failures(ingest.handle(batch([one, two, one]))) == []
    assert failures(ingest.handle(batch([two, one]))) == []
    assert ingest.rows("SELECT count(*) FROM events") == [(2,)]
    first, second = ingest.publisher.documents()[:2], ingest.publisher.documents()[2:]
    assert sorted(first, key=lambda document: document["id"]) == sorted(second, key=lambda document: document["id"])
    assert ingest.metrics.counts == {"EventsStored": 2, "EventsRepeated": 2}
    assert ingest.rows(RECOUNT) == []


DAY_AHEAD = format_utc(datetime.now(UTC) + timedelta(days=2))

INVALID = [
    (lambda e: b"\xff\xfe not json", "not_json"),
    (lambda e: encoded(e)[:-5], "not_json"),
    (lambda e: encoded(e) + b"," + encoded(e), "not_json"),
    (lambda e: encoded(e | {"schema_version": 99}), "unknown_schema_version"),
    (lambda e: encoded(e | {"event_type": "sneeze"}), "unknown_event_type"),
    (lambda e: encoded(e | {"extra": "x" * 131_072}), "too_large"),
    (lambda e: encoded(e | {"event_data": tracking_data(class_name="a\0b")}), "nul_character"),
    (lambda e: encoded(e | {"event_data": tracking_data(confidence=7)}), "invalid"),
    (lambda e: encoded(e | {"device_id": "gate-02"}), "topic_mismatch"),
    (lambda e: encoded(e | {"site_id": "elsewhere"}), "topic_mismatch"),
    (lambda e: encoded(e | {"camera_id": "camera-2"}), "topic_mismatch"),
    (lambda e: encoded(e | {"event_type": "motion", "event_data": motion_data()}), "topic_mismatch"),
    (lambda e: encoded(e | {"timestamp": DAY_AHEAD}), "timestamp_out_of_range"),
    (lambda e: encoded(e | {"timestamp": "9999-12-31T23:59:59-14:00"}), "timestamp_out_of_range"),
    (lambda e: encoded(e | {"timestamp": "0001-01-01T00:00:00+14:00"}), "timestamp_out_of_range"),
    (lambda e: b"[" * 100_000, "not_json"),
]


@pytest.mark.parametrize(("corrupt", "reason"), INVALID, ids=[f"{n}-{p[1]}" for n, p in enumerate(INVALID)])
def test_invalid_messages_become_dead_letters_and_the_others_are_stored(
    ingest: IngestHarness, corrupt, reason: str
) -> None:
    """A dead letter has its reason and the original bytes (guarantee 4 in docs/design/architecture.md)."""
    before, invalid, after = wire_event(), wire_event(), wire_event()
    text = body(topic_of(invalid), corrupt(invalid))
    event = batch_of([body(topic_of(before), encoded(before)), text, body(topic_of(after), encoded(after))])
    assert failures(ingest.handle(event)) == []
    assert ingest.rows("SELECT event_id::text FROM events ORDER BY id") == [(before["event_id"],), (after["event_id"],)]
    [kept] = ingest.dead_letters.sent
    assert (kept.reason, kept.body) == (reason, text)
    assert len(ingest.publisher.published) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "3",
        '{"topic": "vedette/hq/gate-01/events/c/motion"}',
        '{"topic": 3, "payload_base64": "e30=", "received_at_ms": 1}',
        '{"topic": "t", "payload_base64": "***", "received_at_ms": 1}',
        '{"topic": "t", "payload_base64": 4, "received_at_ms": 1}',
        '{"topic": "t", "payload_base64": "e30=", "received_at_ms": "now"}',
    ],
)
def test_an_unreadable_envelope_is_a_dead_letter(ingest: IngestHarness, text: str) -> None:
    """A record that is not an envelope of the IoT rule does not affect the rest of the batch."""
    good = wire_event()
    assert failures(ingest.handle(batch_of([text, body(topic_of(good), encoded(good))]))) == []
    assert ingest.dead_letters.reasons() == ["bad_envelope"]
    assert ingest.rows("SELECT count(*) FROM events") == [(1,)]


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "vedette",
        "vedette/hq/gate-01/nonsense",
        "vedette/hq/gate-01/commands/x",
        "a/b/c/events/e/f",
        "vedette/+/#/heartbeat",
    ],
)
def test_a_topic_that_is_not_for_ingest_is_a_dead_letter(ingest: IngestHarness, topic: str) -> None:
    """The IoT rule does not deliver such topics; if a message has one, it is kept with the reason."""
    assert failures(ingest.handle(batch_of([body(topic, encoded(wire_event()))]))) == []
    assert ingest.dead_letters.reasons() in (["bad_topic"], ["bad_segment"])


def test_nan_and_infinity_are_stored_as_null(ingest: IngestHarness) -> None:
    """Python's JSON parser accepts NaN in unknown fields; PostgreSQL's does not."""
    event = wire_event()
    payload = (
        encoded(event)[:-1] + b',"oddity":NaN,"event_data":' + encoded(tracking_data())[:-1] + b',"score":Infinity}}'
    )
    assert failures(ingest.handle(batch_of([body(topic_of(event), payload)]))) == []
    assert ingest.rows("SELECT event_data -> 'score' FROM events") == [(None,)]


def test_a_row_that_the_database_cannot_hold_is_isolated(ingest: IngestHarness) -> None:
    """When PostgreSQL refuses a batch, ingest halves it until the refused event is alone."""
    events = sequence_of(1, 9)
    ingest.rows("SELECT 1")
    with_check = "ALTER TABLE events ADD CONSTRAINT picky CHECK (frame_number <> 13)"
    import psycopg

    with psycopg.connect(ingest.url) as connection:
        connection.execute(with_check)
    events[4]["frame_number"] = 13
    assert failures(ingest.handle(batch(events))) == []
    assert ingest.rows("SELECT array_agg(sequence ORDER BY sequence) FROM events") == [([1, 2, 3, 4, 6, 7, 8, 9],)]
    [kept] = ingest.dead_letters.sent
    assert kept.reason == "not_storable"
    assert ingest.rows(RECOUNT) == []


def test_without_dead_letters_invalid_messages_are_returned(ingest: IngestHarness) -> None:
    """An invalid message goes back to the event source when the dead-letter queue is unavailable."""
    ingest.dead_letters.unavailable = True
    event = batch_of(["junk", body(topic_of(good := wire_event()), encoded(good))])
    assert failures(ingest.handle(event)) == message_ids(event, [0])
    assert ingest.rows("SELECT count(*) FROM events") == [(1,)]


def test_a_failed_publish_is_returned_and_repeated(ingest: IngestHarness) -> None:
    """An event that was stored but not published is published by the retry, with the same id."""
    one, two = wire_event(), wire_event()
    ingest.publisher.refusing = {two["event_id"]}
    event = batch([one, two, two])
    assert failures(ingest.handle(event)) == sorted(message_ids(event, [1, 2]))
    assert ingest.rows("SELECT count(*) FROM events") == [(2,)]
    ingest.publisher.refusing = set()
    assert failures(ingest.handle({"Records": event["Records"][1:]})) == []
    ids = dict(ingest.rows("SELECT event_id::text, id FROM events"))
    assert {document["event_id"]: document["id"] for document in ingest.publisher.documents()} == ids


def test_another_devices_event_id_cannot_be_taken(ingest: IngestHarness) -> None:
    """A device that reuses another device's event_id does not replace that event, and its own is rejected."""
    mine = wire_event()
    theirs = wire_event(device_id="gate-66", event_id=mine["event_id"])
    ingest.handle(batch([mine]))
    assert failures(ingest.handle(batch([theirs]))) == []
    assert ingest.rows("SELECT device_id FROM events") == [("gate-01",)]
    assert ingest.dead_letters.reasons() == ["event_id_taken"]
    assert len(ingest.publisher.published) == 1


def test_a_direct_invocation_stores_or_raises(ingest: IngestHarness) -> None:
    """The IoT rule may invoke the function directly with one message, which cannot be returned to a queue."""
    event = wire_event()
    direct = json.loads(body(topic_of(event), encoded(event)))
    ingest.publisher.refusing = {event["event_id"]}
    with pytest.raises(TransientError):
        ingest.handle(direct)
    ingest.publisher.refusing = set()
    assert ingest.handle(direct) == {"batchItemFailures": []}
    assert ingest.rows("SELECT count(*) FROM events") == [(1,)]
    ingest.handle({"payload_base64": "!", "topic": "x", "received_at_ms": 1})
    assert ingest.dead_letters.reasons() == ["bad_envelope"]


def test_old_events_are_stored(ingest: IngestHarness) -> None:
    """An event of last year, or from a device with a wrong clock, is not lost."""
    old = [wire_event(timestamp=when) for when in ("2025-11-20T12:00:00Z", "1970-01-01T00:00:05Z")]
    assert failures(ingest.handle(batch(old))) == []
    assert ingest.rows("SELECT extract(year FROM timestamp)::int FROM events_default") == [(1970,)]
    assert ingest.rows("SELECT count(*) FROM events_2025_11") == [(1,)]
    assert ingest.rows(RECOUNT) == []


def test_plates_are_published_in_normal_form(ingest: IngestHarness) -> None:
    """The attribute for filter policies contains only the letters and digits of the plate."""
    ingest.handle(batch([wire_event("anpr", event_data=anpr_data("B 77 XYZ"))]))
    assert ingest.publisher.published[0].attributes["license_plate"] == "B77XYZ"
    ingest.handle(batch([wire_event("detection", event_data=detection_data("car", "bus", "car"))]))
    assert ingest.publisher.published[1].attributes["class_name"] == ["car", "bus"]


def test_a_rule_event_has_attributes_for_rule_and_class(ingest: IngestHarness) -> None:
    """Subscribers can filter by rule and by class; an occupancy event has no class."""
    crossing = wire_event("rule", event_data=rule_data())
    crowd = wire_event("rule", event_data=rule_data("occupancy", class_name=None, confidence=None, zone="hall"))
    assert failures(ingest.handle(batch([crossing, crowd]))) == []
    first, second = (one.attributes for one in ingest.publisher.published)
    assert (first["event_type"], first["rule"], first["class_name"]) == ("rule", "line_crossed", "person")
    assert second["rule"] == "occupancy"
    assert "class_name" not in second
    assert ingest.rows("SELECT event_type, confidence FROM events ORDER BY id") == [("rule", 0.91), ("rule", None)]
