"""Sizes are checked on the form that is sent: expanded numbers, text escaped in Lambda's JSON, SNS entries."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.api.handler import ApiHandler
from cloud_functions.api.http.limits import LAMBDA_RESPONSE_BYTES, Limits
from cloud_functions.aws import MAX_BATCH_BYTES
from cloud_functions.db.events import json_size
from cloud_functions.db.events.json_size import MAX_STORED_BYTES, SHORTEN_ABOVE_CHARS, short_numbers, stored_bytes
from cloud_functions.ingest.publish import SnsPublisher
from shared.events import MAX_EVENT_BYTES
from tests.support.api_calls import ApiCalls, http_api_event, lambda_api, store, stored_event
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest
from tests.support.wire_events import (
    anpr_data,
    batch,
    batch_of,
    body,
    encoded,
    failures,
    topic_of,
    tracking_data,
    wire_event,
)
from tests.unit.cloud_functions.ingest.test_publish import RecordingSns


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url) as one:
        yield one


class SizedApi(ApiCalls):
    """A client that checks the size of every response as Lambda sends it."""

    def __init__(self, handler: ApiHandler, *, limit: int = LAMBDA_RESPONSE_BYTES) -> None:
        super().__init__(self._sized)  # type: ignore[arg-type]
        self._whole = handler
        self._limit = limit

    def _sized(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        result = self._whole(event, context)
        assert len(json.dumps(result)) <= self._limit
        return result


@pytest.fixture
def api(database_url: str) -> Iterator[SizedApi]:
    handler, dependencies = lambda_api(database_url)
    yield SizedApi(handler)
    handler.close()
    dependencies.close()


def _with(extra: str) -> bytes:
    event = encoded(wire_event(event_data=tracking_data(extra="HERE")))
    return event.replace(b'"HERE"', extra.encode())


def _filled(item: str) -> str:
    """Return the longest list of ``item`` that fits into an event."""
    return "[" + ",".join([item] * ((MAX_EVENT_BYTES - 2000) // (len(item.encode()) + 1))) + "]"


@pytest.mark.parametrize(
    ("extra", "fits"),
    [
        (_filled("1e300"), False),
        (_filled("5e-324"), False),
        (_filled("-1.5E307"), False),
        (_filled("1e15"), False),
        ('{"a":' + _filled("1e300") + "}", False),
        (_filled("1"), True),
        (_filled('"e300"'), True),
        (_filled('"1e300"'), True),
        (_filled('"Ж"'), True),
        (_filled('{"a":[]}'), True),
        ("[" + ",".join(["1e300"] * 300) + "]", True),
    ],
)
def test_cloud_b2_event_size_is_that_of_the_stored_form(ingest: IngestHarness, extra: str, fits: bool) -> None:
    """An event whose stored form exceeds the limit is rejected with a reason; the others are stored."""
    before, after = wire_event(), wire_event()
    odd = _with(extra)
    assert len(odd) <= MAX_EVENT_BYTES
    bodies = [
        body(topic_of(before), encoded(before)),
        body(topic_of(before), odd),
        body(topic_of(after), encoded(after)),
    ]
    assert failures(ingest.handle(batch_of(bodies))) == []
    assert ingest.dead_letters.reasons() == ([] if fits else ["too_large"])
    assert ingest.rows("SELECT count(*) FROM events") == [(3 if fits else 2,)]
    [(longest,)] = ingest.rows("SELECT max(octet_length(event_data::text)) FROM events")
    assert longest <= MAX_STORED_BYTES


def test_cloud_b2_snapshot_reference_has_a_size_limit(ingest: IngestHarness) -> None:
    """The reference is stored beside the data and may contain unknown fields."""
    event = wire_event()
    odd = encoded(event).replace(b'"bytes":81234', b'"bytes":81234,"x":' + _filled("1e300").encode())
    ingest.handle(batch_of([body(topic_of(event), odd)]))
    assert ingest.dead_letters.reasons() == ["too_large"]


NUMBERS = st.one_of(
    st.integers(-(10**60), 10**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, 300).map(lambda n: 10**n),
)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(
    NUMBERS | TEXT | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def test_cloud_b2_computed_size_is_an_upper_bound(database_url: str) -> None:
    """PostgreSQL's text is at most as long as computed, and the compact form has equal values."""
    with psycopg.connect(database_url, autocommit=True) as connection:

        @given(VALUES)
        def check(value: Any) -> None:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            [(stored,)] = connection.execute("SELECT %s::jsonb::text", [text]).fetchall()
            assert len(stored.encode()) <= stored_bytes(text)
            short = json_size._LONG_NUMBERS.sub(json_size._shortened, stored)
            assert json.loads(short, parse_float=Decimal, parse_int=Decimal) == json.loads(
                stored, parse_float=Decimal, parse_int=Decimal
            )

        check()


def _store_text(url: str, *data: str) -> list[int]:
    """Store events whose data ingest has not measured."""
    numbers = store(url, [stored_event()] * len(data))
    with psycopg.connect(url, autocommit=True) as connection:
        for number, text in zip(numbers, data, strict=True):
            connection.execute("UPDATE events SET event_data = %s::jsonb WHERE id = %s", [text, number])
    return numbers


WRITTEN_OUT = '{"x":[' + ",".join(["1e300"] * 21_000) + "]}"
TOO_LONG = json.dumps({"x": '"' * 100_000})


def test_cloud_b2_stored_event_with_long_numbers_is_returned_completely(api: SizedApi, database_url: str) -> None:
    """An event from before the limit is in the list, /recent, its own route and the export, as are the others."""
    numbers = _store_text(database_url, "{}", WRITTEN_OUT, "{}")
    whole = api.get(f"/api/events/{numbers[1]}")
    assert whole.status == 200
    assert whole.json()["event_data"]["x"] == [1e300] * 21_000
    for path in ("/api/events", "/api/events/recent", "/api/events/camera/camera-1"):
        answer = api.get(path, **({"limit": 50} if "recent" in path else {}))
        assert answer.status == 200
        found = {event["id"]: event["event_data"] for event in answer.json()["events"]}
        assert set(found) == set(numbers)
        assert math.isclose(found[numbers[1]]["x"][0], 1e300)
    for form in ("ndjson", "csv"):
        assert _exported(api, form) == numbers[::-1]


def test_cloud_b2_too_large_event_is_truncated_with_a_link(database_url: str) -> None:
    """It keeps its place in the list, the other events are complete, and an export continues after it."""
    handler, dependencies = lambda_api(database_url, limits=Limits(image_bytes=10, export_bytes=100_000))
    api = SizedApi(handler)
    numbers = _store_text(database_url, '{"a":1}', TOO_LONG, TOO_LONG, '{"a":2}')
    for path in ("/api/events", "/api/events/recent"):
        answer = api.get(path)
        assert answer.status == 200
        events = {event["id"]: event["event_data"] for event in answer.json()["events"]}
        assert (events[numbers[0]], events[numbers[3]]) == ({"a": 1}, {"a": 2})
        assert events[numbers[1]]["truncated"] is True
        assert events[numbers[1]]["href"] == f"/api/events/{numbers[1]}"
        assert events[numbers[1]]["event_data_bytes"] > 200_000
    assert api.get(f"/api/events/{numbers[1]}").json()["event_data"]["truncated"] is True
    for form in ("ndjson", "csv"):
        assert _exported(api, form) == numbers[::-1]
    handler.close()
    dependencies.close()


def _exported(api: SizedApi, form: str) -> list[int]:
    """Return the ids in an export, following its cursor to the end."""
    found: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        answer = api.get("/api/events/export", format=form, **cursor)
        assert answer.status == 200
        text = answer.body.decode()
        if form == "csv":
            csv.field_size_limit(100_000_000)
            found += [int(row["id"]) for row in csv.DictReader(io.StringIO(text))]
        else:
            found += [json.loads(line)["id"] for line in text.splitlines()]
        if "x-next-cursor" not in answer.headers:
            return found
        cursor = {"cursor": answer.headers["x-next-cursor"]}


@pytest.mark.parametrize("text", ["short", "Жук", '"""""', "\\\\\\", "\u0001\u0002", "\U0001f600"])
def test_cloud_b3_five_hundred_large_events_fit_into_one_page(database_url: str, text: str) -> None:
    """Short strings grow when escaped in Lambda's JSON; the page has all events, and its largest are truncated."""
    limits = Limits(image_bytes=10, export_bytes=600_000)
    handler, dependencies = lambda_api(database_url, limits=limits)
    api = SizedApi(handler, limit=600_000)
    data = {"x": [text] * (1500 // len(text.encode()))}
    numbers = store(database_url, [stored_event(event_data=data)] * 499)
    numbers += store(database_url, [stored_event(event_data={"small": 1})])
    answer = api.get("/api/events", page_size=500)
    assert answer.status == 200
    events = {event["id"]: event["event_data"] for event in answer.json()["events"]}
    assert set(events) == set(numbers)
    assert events[numbers[-1]] == {"small": 1}
    assert all(found == data or found["truncated"] for found in events.values() if found != {"small": 1})
    assert any(found == data for found in events.values())
    assert _exported(api, "csv") == numbers[::-1]
    handler.close()
    dependencies.close()


def test_cloud_b2_large_plate_reads_fit_into_one_page(ingest: IngestHarness, api: SizedApi) -> None:
    """Reads with long fields are truncated when the page would be too large; it contains all reads and plates."""
    events = [wire_event("anpr", event_data=anpr_data(host="Ж" * 20_000, plate_box=None)) for _ in range(120)]
    assert failures(ingest.handle(batch(events))) == []
    for path in ("/api/plates", "/api/plates/B123ABC"):
        answer = api.get(path, limit=200)
        assert (answer.status, len(answer.json()["plates"])) == (200, 120)
        assert all(read["plate_normalized_text"] == "B123ABC" for read in answer.json()["plates"])
        assert any(read.get("truncated") for read in answer.json()["plates"])


@pytest.mark.parametrize("reason", ["ж" * 120, '"' * 500, "\U0001f600" * 20])
def test_cloud_b3_patterns_are_added_once_and_the_response_is_small(api: SizedApi, reason: str) -> None:
    """Ten thousand patterns with long reasons are added; the repeated request adds none."""
    watchlist = api.post("/api/plates/watchlists", {"name": "stolen"}).json()["watchlist_id"]
    count = 10_000 if len(reason) < 200 else 1_000
    patterns = [{"kind": "exact", "pattern": f"AB{number:05}", "reason": reason} for number in range(count)]
    path = f"/api/plates/watchlists/{watchlist}/patterns"
    request = json.dumps({"patterns": patterns}, ensure_ascii=False)
    first = api.post(path, request)
    assert (first.status, first.json()["count"], first.json()["added"]) == (201, count, count)
    again = api.post(path, request)
    assert (again.status, again.json()["added"]) == (201, 0)
    assert again.json()["pattern_ids"] == first.json()["pattern_ids"]
    assert len(set(first.json()["pattern_ids"])) == count
    assert api.get(f"/api/plates/watchlists/{watchlist}").json()["patterns"] == count
    assert api.get(path, limit=100, offset=count - 1).json()["patterns"][0]["pattern"] == f"AB{count - 1:05}"


def test_cloud_b3_different_patterns_are_all_added(api: SizedApi) -> None:
    """Patterns that differ in reason, expiry, distance or kind are different; a request may contain duplicates."""
    watchlist = api.post("/api/plates/watchlists", {"name": "stolen"}).json()["watchlist_id"]
    path = f"/api/plates/watchlists/{watchlist}/patterns"
    given_ = [
        {"kind": "exact", "pattern": "AB123"},
        {"kind": "exact", "pattern": "AB 123"},
        {"kind": "exact", "pattern": "AB123", "reason": "stolen"},
        {"kind": "exact", "pattern": "AB123", "expires_at": "2027-01-01T00:00:00Z"},
        {"kind": "fuzzy", "pattern": "AB123", "max_distance": 1},
        {"kind": "fuzzy", "pattern": "AB123", "max_distance": 2},
        {"kind": "glob", "pattern": "AB123"},
    ]
    answer = api.post(path, {"patterns": given_}).json()
    assert (answer["count"], answer["added"], len(answer["patterns"])) == (7, 6, 7)
    assert answer["pattern_ids"][0] == answer["pattern_ids"][1]
    assert len(set(answer["pattern_ids"])) == 6
    assert [one["pattern_id"] for one in answer["patterns"]] == answer["pattern_ids"]


def test_cloud_b3_watchlists_are_paginated(api: SizedApi) -> None:
    """A response has a limited number of watch-lists, and the total."""
    for number in range(5):
        api.post("/api/plates/watchlists", {"name": f"list {number}"})
    page = api.get("/api/plates/watchlists", limit=2, offset=2).json()
    assert [one["name"] for one in page["watchlists"]] == ["list 2", "list 3"]
    assert (page["count"], page["total"]) == (2, 5)


def test_cloud_b3_response_above_the_limit_is_a_problem(api: SizedApi, database_url: str) -> None:
    """A response that is too large is replaced by a problem document, for both payload versions."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO watchlists (name) VALUES ('long')")
        connection.execute(
            "INSERT INTO watchlist_patterns (watchlist_id, kind, pattern, reason)"
            " SELECT watchlist_id, 'exact', 'A' || n, repeat('ж', 2000) FROM watchlists, generate_series(1, 1000) AS n"
        )
        [(number,)] = connection.execute("SELECT watchlist_id FROM watchlists").fetchall()
    path = f"/api/plates/watchlists/{number}/patterns"
    rest = {
        "resource": "/{proxy+}", "httpMethod": "GET", "path": path, "headers": {}, "multiValueHeaders": {},
        "queryStringParameters": {"limit": "1000"}, "multiValueQueryStringParameters": {"limit": ["1000"]},
        "requestContext": {"stage": "prod", "identity": {}}, "body": None, "isBase64Encoded": False, "version": "1.0",
    }  # fmt: skip
    uncompressed = {"accept-encoding": "identity"}
    for event in (http_api_event("GET", path, query="limit=1000", headers=uncompressed), rest):
        answer = api.invoke(event)
        assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
        assert answer.json()["type"] == "urn:vedette:problem:answer-too-large"
    assert api.get(path, limit=100).status == 200
    compressed = api.invoke(http_api_event("GET", path, query="limit=1000"))  # its client accepts gzip, and so it fits
    assert (compressed.status, compressed.headers["content-encoding"]) == (200, "gzip")


def test_cloud_06_every_publication_fits_into_an_sns_entry(ingest: IngestHarness) -> None:
    """An event that is too large with its attributes is published without its data, with a link."""
    with psycopg.connect(ingest.url, autocommit=True) as connection:
        connection.execute("INSERT INTO watchlists (name) VALUES ('all')")
        connection.execute(
            "INSERT INTO watchlist_patterns (watchlist_id, kind, pattern, reason)"
            " SELECT watchlist_id, 'glob', '*', repeat('\U0001f600', 480) || n"
            " FROM watchlists, generate_series(1, 60) AS n"
        )
    plain = wire_event("anpr", event_data=anpr_data())
    large = wire_event("anpr", event_data=anpr_data("B 9", extra="HERE"))
    payload = encoded(large).replace(b'"HERE"', b"[" + b",".join([b"1e5"] * 20_000) + b"]")
    both = [body(topic_of(plain), encoded(plain)), body(topic_of(large), payload)]
    assert failures(ingest.handle(batch_of(both))) == []
    assert failures(ingest.handle(batch_of(both))) == []  # repeated, so the stored form is published
    assert ingest.rows(RECOUNT) == []
    sns = RecordingSns()
    assert SnsPublisher(topic_arn="arn:topic", aws=sns).publish(ingest.publisher.published) == set()  # type: ignore[arg-type]
    entries = [entry for request in sns.requests for entry in request]
    assert len(entries) == 8
    for entry in entries:
        attributes = "".join(value["StringValue"] for value in entry["MessageAttributes"].values())
        assert len(entry["Message"].encode()) + len(attributes.encode()) <= MAX_BATCH_BYTES
    documents = [json.loads(entry["Message"]) for entry in entries]
    matches = [one for one in documents if one["event_type"] == "plate_match" and one["event_data"].get("truncated")]
    assert len(matches) == 2
    for match in matches:
        assert match["event_data"]["plate_normalized"] == "B9"
        assert match["event_data"]["watchlist_match_count"] == 60
        assert match["event_data"]["href"] == f"/api/events/{match['id']}"


def test_cloud_b2_short_texts_are_returned_unchanged() -> None:
    """For ordinary events the function returns the same object without parsing it."""
    text = '{"a": 1' + "0" * 300 + "}"
    assert short_numbers(text) is text
    assert len(short_numbers('{"a": [' + ", ".join(["1" + "0" * 300] * 100) + "]}")) < SHORTEN_ABOVE_CHARS
