"""Events as messages: compressed and read again, marked as replayed, and within the limit of SNS."""

from __future__ import annotations

import base64
import gzip
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.aws import MAX_BATCH_BYTES
from cloud_functions.event_messages import MAX_DOCUMENT_BYTES, as_replayed, compressed, decompressed, for_xml
from cloud_functions.fanout.messages import read_deliveries
from cloud_functions.ingest.publish import Publication, match_publications, publications
from cloud_functions.ingest.sources.messages import Message
from cloud_functions.ingest.storage.documents import EventDocument
from cloud_functions.ingest.validation import EARLIEST, validate_event
from shared.errors import ContractError
from tests.support.fanout_queue import sqs_record
from tests.support.wire_events import anpr_data, encoded, tracking_data, wire_event

FIELDS = {"event_type": "motion", "camera_id": "c"}


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(TEXTS, TEXTS))
def test_every_document_is_read_as_it_was(extra: dict[str, str]) -> None:
    """Compressed or not, with raw message delivery or without, and marked by a replay."""
    document = for_xml(json.dumps(extra | FIELDS, ensure_ascii=False))
    assert json.loads(document) == extra | FIELDS
    assert not {"\ufffe", "\uffff"} & set(document)
    body = compressed(document)
    assert decompressed(body) == document
    wrapped = {
        "Type": "Notification",
        "Message": body,
        "MessageAttributes": {"content_encoding": {"Type": "String", "Value": "gzip+base64"}},
    }
    records = [
        sqs_record("plain", document, {}),
        sqs_record("small", body, {"content_encoding": "gzip+base64"}),
        sqs_record("wrapped", json.dumps(wrapped), {}),
    ]
    deliveries, unreadable = read_deliveries({"Records": records})
    assert [delivery.document for delivery in deliveries] == [document] * 3
    assert unreadable == []
    marked = json.loads(as_replayed(document, "r1"))
    assert marked == extra | FIELDS | {"replayed": True, "replay_id": "r1"}


BOMB = base64.b64encode(gzip.compress(b" " * (MAX_DOCUMENT_BYTES + 1), mtime=0)).decode()


@pytest.mark.parametrize("body", ["", "%", "e30=", compressed("{}")[:-8], BOMB, compressed('"text"'), compressed("[]")])
def test_a_body_that_is_no_compressed_event_harms_only_itself(body: str) -> None:
    """It is returned to the queue; the others of its batch are delivered. Nothing large is decompressed."""
    good = sqs_record("good", json.dumps(FIELDS), {})
    bad = sqs_record("bad", body, {"content_encoding": "gzip+base64"})
    unknown = sqs_record("unknown", json.dumps(FIELDS), {"content_encoding": "brotli"})
    deliveries, unreadable = read_deliveries({"Records": [bad, good, unknown]})
    assert [delivery.message_id for delivery in deliveries] == ["good"]
    assert unreadable == ["bad", "unknown"]


def test_a_bomb_is_refused() -> None:
    """The reason says what is wrong."""
    with pytest.raises(ContractError, match="too large"):
        decompressed(BOMB)


def document_of(event_type: str, data: dict[str, Any]) -> EventDocument:
    """Return a stored event of this data, and its document."""
    event = wire_event(event_type, event_data=data)
    message = Message("m", "", None, encoded(event), 0)
    validated = validate_event(message, latest=EARLIEST.replace(year=2100))
    flat = {"id": 7} | {name: event[name] for name in ("event_id", "event_type", "camera_id", "event_data")}
    return EventDocument(validated, json.dumps(flat, ensure_ascii=False))


def size(one: Publication) -> int:
    return len(one.document.encode()) + len(json.dumps(one.attributes))


def test_large_documents_are_compressed_if_that_is_set() -> None:
    """Small ones, and those that do not become smaller, are published as they are."""
    small, large = document_of("tracking", tracking_data()), document_of("tracking", tracking_data(note="n" * 9000))
    plain = publications([small, large])
    assert [one.document for one in plain] == [small.document, large.document]
    one, other = publications([small, large], compress_above_bytes=4096)
    assert one == plain[0]
    assert other.attributes == plain[1].attributes | {"content_encoding": "gzip+base64"}
    assert decompressed(other.document) == large.document
    assert size(other) < 2000
    noise = base64.b85encode(random.Random(1).randbytes(6000)).decode()
    assert (
        publications([document_of("tracking", tracking_data(note=noise))], compress_above_bytes=4096)[
            0
        ].attributes.keys()
        == plain[0].attributes.keys()
    )


@pytest.mark.parametrize("above", [None, 65_536])
def test_what_is_too_large_even_so_is_published_without_its_data(above: int | None) -> None:
    """It fits into one entry, is readable without decompression, and keeps what a match is about."""
    stored = document_of("anpr", anpr_data())
    notes = [random.Random(number).randbytes(30_000).hex() for number in range(9)]
    matches = [{"watchlist": f"w{number}", "note": note} for number, note in enumerate(notes)]
    event_id = stored.event.row.event_id
    [one] = match_publications([stored], {event_id: matches}, compress_above_bytes=above)
    assert size(one) <= MAX_BATCH_BYTES
    assert "content_encoding" not in one.attributes
    data = json.loads(one.document)["event_data"]
    assert (data["truncated"], data["href"]) == (True, "/api/events/7")
    assert data["watchlist_matches"] == matches[:1]
