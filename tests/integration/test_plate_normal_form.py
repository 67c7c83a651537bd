"""Plates in any alphabet: stored, searched, matched by watch-lists and deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api_calls import Answer, ApiCalls, lambda_api
from tests.support.ingest_harness import open_ingest, rows
from tests.support.plate_reads import plate_read
from tests.support.wire_events import batch, failures

CYRILLIC, OTHER, DIGITS = "А123ВС77", "О123КК77", "12377"
LATIN = "A123BC77"
FAMILY = [CYRILLIC, OTHER, DIGITS, "京A12345", "沪A12345", "١٢٣ أ ب ج", "١٢٣ أ ب د", "ŁÓDŹ 12"]
FAMILY += ["AB\u200b½7", "AB\ufe0f127", "⑴⒈ B"]


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def read_of_earlier_release(text: str, plate: str, **fields: Any) -> dict[str, Any]:
    """Return a read as an agent of an earlier release sends it: with a normal form that lost letters."""
    return plate_read(text, **fields) | {"event_data": plate_read(text)["event_data"] | {"plate_normalized": plate}}


def store(url: str, *reads: dict[str, Any]) -> None:
    with open_ingest(url) as ingest:
        assert failures(ingest.handle(batch(reads))) == []


def texts(answer: Answer, key: str = "plates") -> list[str]:
    assert answer.status == 200, answer
    if key == "events":
        return [event["event_data"]["anpr_result"]["license_plate"] for event in answer.json()["events"]]
    return sorted(read["plate_text"] for read in answer.json()[key])


def test_cloud_a3_plates_are_stored_in_the_correct_normal_form(database_url: str, api: ApiCalls) -> None:
    """It is computed from the plate as read if an earlier agent dropped letters. A form of the device's own stays."""
    store(
        database_url,
        read_of_earlier_release(CYRILLIC, DIGITS),
        read_of_earlier_release(OTHER, DIGITS, minute=1),
        plate_read(DIGITS, minute=2),
        read_of_earlier_release("München 1", "KORB1", minute=3),
    )
    stored = rows(database_url, "SELECT plate_text, plate_normalized_text FROM plate_events ORDER BY captured_at")
    assert stored == [(CYRILLIC, LATIN), (OTHER, "O123KK77"), (DIGITS, DIGITS), ("München 1", "KORB1")]
    assert texts(api.get("/api/plates", plate=CYRILLIC)) == [CYRILLIC]
    [event] = api.get("/api/events", license_plate=LATIN).json()["events"]
    assert event["event_data"]["plate_normalized"] == LATIN


@pytest.mark.parametrize("text", FAMILY)
def test_cloud_a3_a_search_for_a_plate_finds_only_that_plate(database_url: str, api: ApiCalls, text: str) -> None:
    """In every list, by prefix, in the history and in an export."""
    store(database_url, *(plate_read(one, minute=number) for number, one in enumerate(FAMILY)))
    assert texts(api.get("/api/plates", plate=text)) == [text]
    assert texts(api.get("/api/plates", plate=text, match="prefix")) == [text]
    assert texts(api.get("/api/events", license_plate=text), "events") == [text]
    history = api.get(f"/api/plates/{text}").json()
    assert (history["total_events"], [read["plate_text"] for read in history["plates"]]) == (1, [text])
    assert api.get(f"/api/events/plate/{text}").json()["total"] == 1
    exported = api.get("/api/events/export", license_plate=text).body.decode().splitlines()
    assert [json.loads(line)["event_data"]["anpr_result"]["license_plate"] for line in exported] == [text]


@pytest.mark.parametrize("text", FAMILY)
def test_cloud_a3_deleting_a_plate_deletes_only_its_reads(database_url: str, api: ApiCalls, text: str) -> None:
    """The documented request for deleting one person's reads deletes no other reads."""
    store(database_url, *(plate_read(one, minute=number) for number, one in enumerate(FAMILY)))
    assert api.post("/api/events/delete", {"license_plate": text}).json()["deleted"] == 1
    remaining = rows(database_url, "SELECT plate_text FROM plate_events ORDER BY captured_at")
    assert [plate for (plate,) in remaining] == [one for one in FAMILY if one != text]


@pytest.mark.parametrize("text", ["AB🚗1", "AB♥1", "A\x071", "1÷2"])
def test_cloud_a3_characters_that_no_plate_has_are_rejected(api: ApiCalls, text: str) -> None:
    """The problem names the character, and nothing is searched, stored or deleted."""
    watchlist_id = api.post("/api/plates/watchlists", {"name": "stolen"}).json()["watchlist_id"]
    pattern = {"kind": "exact", "pattern": text}
    answers = [
        api.get("/api/plates", plate=text),
        api.get("/api/plates", plate=text, match="prefix"),
        api.get("/api/events", license_plate=text),
        api.post("/api/events/delete", {"license_plate": text}),
        api.post(f"/api/plates/watchlists/{watchlist_id}/patterns", {"patterns": [pattern]}),
        api.post(f"/api/plates/watchlists/{watchlist_id}/patterns", {"patterns": [pattern | {"kind": "regex"}]}),
    ]
    for number, answer in enumerate(answers):
        assert answer.status == 422, (number, answer)
        assert "U+" in answer.body.decode(), (number, answer)


def test_cloud_a3_a_pattern_matches_only_its_plate(database_url: str, api: ApiCalls) -> None:
    """In Cyrillic or Latin it matches that plate, and neither the other plate nor the digits that both share."""
    watchlist_id = api.post("/api/plates/watchlists", {"name": "stolen"}).json()["watchlist_id"]
    patterns = [
        {"kind": "exact", "pattern": CYRILLIC},
        {"kind": "fuzzy", "pattern": CYRILLIC, "max_distance": 1},
        {"kind": "glob", "pattern": "А*ВС77"},
        {"kind": "regex", "pattern": "^А.*ВС77$"},
    ]
    added = api.post(f"/api/plates/watchlists/{watchlist_id}/patterns", {"patterns": patterns}).json()["patterns"]
    assert [one["pattern"] for one in added[:3]] == [LATIN, LATIN, "A*BC77"]
    reads = [
        read_of_earlier_release(CYRILLIC, DIGITS),
        *(plate_read(one, minute=at + 1) for at, one in enumerate([LATIN, *FAMILY[1:]])),
    ]
    with open_ingest(database_url) as ingest:
        assert failures(ingest.handle(batch(reads))) == []
        matches = [one for one in ingest.publisher.documents() if one["event_type"] == "plate_match"]
        attributes = [one.attributes for one in ingest.publisher.published]
    assert [document["event_data"]["anpr_result"]["license_plate"] for document in matches] == [CYRILLIC, LATIN]
    assert [len(document["event_data"]["watchlist_matches"]) for document in matches] == [4, 4]
    assert "京A12345" in [one.get("license_plate") for one in attributes]
