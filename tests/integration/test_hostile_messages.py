"""Unusual and invalid JSON is stored or rejected with a reason, and the other events of the batch are stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api_calls import ApiCalls, lambda_api, store, stored_event
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest
from tests.support.wire_events import batch_of, body, encoded, failures, topic_of, tracking_data, wire_event


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url) as one:
        yield one


def _with(text: str) -> bytes:
    """Return an event whose data ends with ``text`` verbatim."""
    event = encoded(wire_event(event_data=tracking_data(mark="HERE")))
    return event.replace(b'"mark":"HERE"', text.encode("utf-8", "surrogatepass"))


ODD: list[tuple[str, str | None]] = [
    ('"zones":["x"]', None),  # a repeated key: every reader uses the last value
    ('"a":1,"a":2', None),
    (r'"a":"\ud800"', "not_json"),
    (r'"a":"\udfff\ud800"', "not_json"),
    ('"a":"\ud800"', "not_json"),
    (r'"a":"\ud83d\ude00"', None),
    ('"a":NaN,"b":-Infinity,"c":Infinity', None),
    ('"a":1e400', None),
    ('"a":' + "9" * 400, None),
    ('"a":-' + "1" * 4000, None),
    ('"a":' + "[" * 100 + "]" * 100, None),
    ('"a":' + "[" * 60_000 + "]" * 60_000, "not_json"),
    ('"a":' + '{"a":' * 5000 + "1" + "}" * 5000, "not_json"),
    ('"a":01', "not_json"),
    ("\"a\":'x'", "not_json"),
    (r'"a":"\x41"', "not_json"),
    (r'"a":"\u0000"', "nul_character"),
    (r'"a\u0000":1', "nul_character"),
    (r'"a":"\\\u0000"', "nul_character"),
    (r'"a":"\\u0000"', None),
    (r'"a":"\\\\u0000 \\u0000"', None),
    (r'"a\\u0000":{"\\u0000":["\\u0000"]}', None),
    (r'"":{"":null}', None),
    (r'"a":"\u2028\u0085\ufffe\uffff"', None),
]


@pytest.mark.parametrize("again", [False, True])
def test_cloud_a7_unusual_json_affects_no_other_event(ingest: IngestHarness, again: bool) -> None:
    """In one batch with ordinary events, each case is stored or rejected with the expected reason."""
    plain = [wire_event(sequence=number) for number in range(1, len(ODD) + 2)]
    if again:
        assert failures(ingest.handle(batch_of([body(topic_of(plain[0]), encoded(plain[0]))]))) == []
    bodies: list[str] = []
    for event, (text, _) in zip(plain, ODD, strict=False):
        bodies += [body(topic_of(event), encoded(event)), body(topic_of(event), _with(text))]
    bodies.append(body(topic_of(plain[-1]), encoded(plain[-1])))
    assert failures(ingest.handle(batch_of(bodies))) == []
    assert ingest.dead_letters.reasons() == [reason for _, reason in ODD if reason is not None]
    stored = {str(row[0]) for row in ingest.rows("SELECT event_id FROM events")}
    assert {event["event_id"] for event in plain} <= stored
    assert len(stored) == len(plain) + sum(reason is None for _, reason in ODD)
    assert ingest.rows(RECOUNT) == []
    handler, dependencies = lambda_api(ingest.url)
    try:
        assert len(ApiCalls(handler).get("/api/events", page_size="500").json()["events"]) == len(stored)
        exported = ApiCalls(handler).get("/api/events/export").body.decode().splitlines()
        assert {json.loads(line)["event_id"] for line in exported} == stored
    finally:
        handler.close()
        dependencies.close()


def test_cloud_c12_a_backslash_before_u0000_is_text(ingest: IngestHarness) -> None:
    r"""``"\\u0000"`` is a backslash and five characters: it is stored, published and returned unchanged."""
    text = "C:\\u0000 and \\\\u0000"
    event = wire_event(event_data=tracking_data(note=text))
    assert failures(ingest.handle(batch_of([body(topic_of(event), encoded(event))]))) == []
    assert ingest.rows("SELECT event_data ->> 'note' FROM events") == [(text,)]
    assert ingest.publisher.documents()[0]["event_data"]["note"] == text


def test_cloud_c12_statuses_with_a_backslash_are_stored(ingest: IngestHarness) -> None:
    """A status with such a text is stored; one with a NUL character is rejected."""
    status: dict[str, Any] = {"device_id": "gate-01", "status": "online", "note": "\\u0000"}
    ingest.handle(batch_of([body("vedette/hq/gate-01/status", encoded(status))]))
    assert ingest.dead_letters.reasons() == []
    ingest.handle(batch_of([body("vedette/hq/gate-01/status", encoded(status | {"note": "\0"}))]))
    assert ingest.dead_letters.reasons() == ["nul_character"]


@pytest.mark.parametrize("key", ["camera-1/2026-11-2\u0660/tracking_120000_000000.jpg", "imports/7.jpg", "../x"])
def test_cloud_c5_stored_key_in_another_format_breaks_no_request(database_url: str, key: str) -> None:
    """Its snapshot cannot be requested; its event can be deleted together with others and their snapshots."""
    numbers = store(database_url, [stored_event(snapshot_path=key), stored_event(snapshot_path=key)])
    handler, dependencies = lambda_api(database_url)
    calls = ApiCalls(handler)
    try:
        for what in ("snapshot", "thumbnail", "snapshot-url"):
            assert calls.get(f"/api/events/{numbers[0]}/{what}").status == 404
        assert calls.delete(f"/api/events/{numbers[0]}", delete_snapshot="true").status == 200
        answer = calls.post("/api/events/delete", {"camera_id": "camera-1", "delete_snapshots": True})
        assert (answer.status, answer.json()["deleted"]) == (200, 1)
    finally:
        handler.close()
        dependencies.close()
