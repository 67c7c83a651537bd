"""Watch-lists end to end: edited by the API, matched during ingest, published to subscribers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from cloud_functions.api.watchlists.responses import (
    AddPatternsResponse,
    PatternListResponse,
    WatchlistListResponse,
    WatchlistResponse,
)
from cloud_functions.fanout.messages import read_deliveries
from cloud_functions.fanout.targets.redis import channels_of
from cloud_functions.ingest.watchlist_matcher import MAX_DOCUMENT_MATCHES, WatchlistMatcher
from shared.clock import ManualClock
from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.ingest_harness import IngestHarness, open_ingest
from tests.support.plate_reads import plate_read
from tests.support.wire_events import NOON, batch, failures, record, wire_event

PATH = "/api/plates/watchlists"


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url, clock=ManualClock(NOON)) as one:
        yield one


def _create_watchlist(api: ApiCalls, name: str = "stolen", *patterns: dict[str, Any]) -> int:
    answer = api.post(PATH, {"name": name})
    assert answer.status == 201, answer
    number = answer.json()["watchlist_id"]
    if patterns:
        _add_patterns(api, number, *patterns)
    return number


def _add_patterns(api: ApiCalls, number: int, *patterns: dict[str, Any]) -> list[int]:
    answer = api.post(f"{PATH}/{number}/patterns", {"patterns": patterns})
    assert answer.status == 201, answer
    AddPatternsResponse.model_validate(answer.json())
    return [pattern["pattern_id"] for pattern in answer.json()["patterns"]]


def _exact(text: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "exact", "pattern": text} | fields


def _published_matches(ingest: IngestHarness, *reads: dict[str, Any]) -> list[dict[str, Any]]:
    """Ingest these reads and return the published matches."""
    ingest.publisher.published.clear()
    assert failures(ingest.handle(batch(reads))) == []
    return [one for one in ingest.publisher.documents() if one["event_type"] == "plate_match"]


def test_watchlists_are_created_changed_and_deleted(api: ApiCalls) -> None:
    """Names are unique, and a missing watch-list is a 404."""
    created = api.post(PATH, {"name": "stolen", "description": "by the police"})
    WatchlistResponse.model_validate(created.json())
    number = created.json()["watchlist_id"]
    assert api.get(f"{PATH}/{number}").json() == created.json()
    assert api.post(PATH, {"name": "stolen"}).json()["type"] == "urn:vedette:problem:name-taken"
    other = _create_watchlist(api, "staff")
    listed = api.get(PATH).json()
    WatchlistListResponse.model_validate(listed)
    assert [one["name"] for one in listed["watchlists"]] == ["staff", "stolen"]
    changed = api.call("PUT", f"{PATH}/{number}", body='{"name": "gone", "enabled": false}').json()
    assert (changed["name"], changed["description"], changed["enabled"]) == ("gone", None, False)
    assert api.call("PUT", f"{PATH}/{number}", body='{"name": "staff"}').status == 409
    assert api.delete(f"{PATH}/{other}").json() == {"message": "Watch-list deleted"}
    for answer in (
        api.get(f"{PATH}/{other}"),
        api.delete(f"{PATH}/{other}"),
        api.call("PUT", f"{PATH}/{other}", body='{"name": "x"}'),
        api.get(f"{PATH}/{other}/patterns"),
        api.post(f"{PATH}/{other}/patterns", {"patterns": [_exact("A1")]}),
    ):
        assert (answer.status, answer.json()["type"]) == (404, "urn:vedette:problem:watchlist-not-found")


def test_patterns_are_added_listed_and_deleted(api: ApiCalls) -> None:
    """Patterns are listed in their stored form and in order, with reason and expiry time."""
    number = _create_watchlist(api)
    first, second, third = _add_patterns(
        api,
        number,
        _exact("b-ak 123", reason="stolen", expires_at="2027-01-01T00:00:00Z"),
        {"kind": "fuzzy", "pattern": "AB 12 CD", "max_distance": 1},
        {"kind": "glob", "pattern": "b-*-x"},
    )
    page = api.get(f"{PATH}/{number}/patterns", limit=2, offset=1).json()
    PatternListResponse.model_validate(page)
    assert page["total"] == 3
    assert [(one["pattern_id"], one["pattern"]) for one in page["patterns"]] == [(second, "AB12CD"), (third, "B*X")]
    assert api.get(f"{PATH}/{number}/patterns/{first}").json() == {
        "pattern_id": first,
        "watchlist_id": number,
        "kind": "exact",
        "pattern": "BAK123",
        "max_distance": None,
        "reason": "stolen",
        "expires_at": "2027-01-01T00:00:00.000000Z",
    }
    assert api.delete(f"{PATH}/{number}/patterns/{first}").status == 200
    other = _create_watchlist(api, "other")
    for answer in (
        api.get(f"{PATH}/{number}/patterns/{first}"),
        api.delete(f"{PATH}/{number}/patterns/{first}"),
        api.delete(f"{PATH}/{other}/patterns/{second}"),
    ):
        assert (answer.status, answer.json()["type"]) == (404, "urn:vedette:problem:pattern-not-found")
    assert api.get(f"{PATH}/{number}").json()["patterns"] == 2


@pytest.mark.parametrize(
    "pattern",
    [
        {},
        {"kind": "exact"},
        {"kind": "like", "pattern": "A1"},
        {"kind": "exact", "pattern": "--"},
        {"kind": "exact", "pattern": "A1", "max_distance": 1},
        {"kind": "fuzzy", "pattern": "AB1"},
        {"kind": "fuzzy", "pattern": "AB1", "max_distance": 9},
        {"kind": "regex", "pattern": "(A+)+\\1"},
        {"kind": "regex", "pattern": "A" * 201},
        {"kind": "glob", "pattern": "A(1"},
        {"kind": "exact", "pattern": "A1", "reason": "a\x00b"},
        {"kind": "exact", "pattern": "A1", "reason": "\ud800"},
        {"kind": "exact", "pattern": "A1", "reason": " "},
        {"kind": "exact", "pattern": "A1", "expires_at": "tomorrow"},
        {"kind": "exact", "pattern": "A1", "expires_at": 1e400},
        {"kind": "exact", "pattern": "A1", "watchlist_id": 1},
    ],
)
def test_an_invalid_pattern_rejects_the_whole_request(api: ApiCalls, pattern: dict[str, Any]) -> None:
    """No pattern is added, and the problem names the invalid one and the reason."""
    number = _create_watchlist(api)
    answer = api.post(f"{PATH}/{number}/patterns", {"patterns": [_exact("GOOD1"), pattern]})
    assert answer.status == 422, answer
    assert answer.json()["errors"][0]["parameter"].startswith("patterns.1")
    assert api.get(f"{PATH}/{number}").json()["patterns"] == 0


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "{}", '{"name": ""}', '{"name": "a\\nb"}', '{"name": 1}', '{"nam": "a"}']
)
def test_an_invalid_watchlist_is_rejected(api: ApiCalls, body: str) -> None:
    """The response is a 422, and no watch-list is created."""
    assert api.post(PATH, body).status in (400, 422)
    assert api.get(PATH).json()["count"] == 0


def test_a_match_is_published_after_the_event(api: ApiCalls, ingest: IngestHarness) -> None:
    """The match has its own type and id, the whole event, and the pattern, watch-list and reason."""
    number = _create_watchlist(api)
    [pattern] = _add_patterns(
        api, number, _exact("AB 123 CD", reason="reported stolen", expires_at="2027-01-01T00:00:00Z")
    )
    event = plate_read("AB 123 CD")
    [match] = _published_matches(ingest, event, plate_read("XY 1"), wire_event())
    kinds = [publication.attributes["event_type"] for publication in ingest.publisher.published]
    assert kinds == ["anpr", "anpr", "tracking", "plate_match"]
    plain = next(one for one in ingest.publisher.documents() if one["event_id"] == event["event_id"])
    assert match["source_event_id"] == event["event_id"]
    assert match["event_id"] != event["event_id"]
    same = {"id", "camera_id", "site_id", "device_id", "timestamp", "frame_number", "snapshot_path", "created_at"}
    assert {name: match[name] for name in same} == {name: plain[name] for name in same}
    assert match["event_data"].pop("watchlist_match_count") == 1
    assert match["event_data"].pop("watchlist_matches") == [
        {
            "watchlist_id": number,
            "watchlist": "stolen",
            "pattern_id": pattern,
            "kind": "exact",
            "pattern": "AB123CD",
            "max_distance": None,
            "distance": None,
            "reason": "reported stolen",
            "expires_at": "2027-01-01T00:00:00.000000Z",
        }
    ]
    assert match["event_data"] == plain["event_data"]
    assert ingest.publisher.published[-1].attributes == {
        "event_type": "plate_match",
        "camera_id": "camera-1",
        "site_id": "hq",
        "license_plate": "AB123CD",
        "watchlist": ["stolen"],
    }
    assert ingest.metrics.counts["PlateMatches"] == 1


def test_matches_have_their_own_fan_out_channel() -> None:
    """A subscriber of the match channel receives only matches."""
    document = json.dumps({"event_type": "plate_match", "camera_id": "camera-1"})
    [delivery], _ = read_deliveries({"Records": [record(document)]})
    assert channels_of(delivery, channel="events") == ("events", "events:plate_match", "events:camera:camera-1")


def test_every_kind_of_pattern_matches(api: ApiCalls, ingest: IngestHarness) -> None:
    """Exact, glob, regex and fuzzy patterns match; a fuzzy match includes the distance."""
    _create_watchlist(
        api,
        "all",
        _exact("AB123CD"),
        {"kind": "glob", "pattern": "AB*"},
        {"kind": "regex", "pattern": r"^[A-Z]{2}\d{3}"},
        {"kind": "fuzzy", "pattern": "A8123CD", "max_distance": 1},
    )
    [match] = _published_matches(ingest, plate_read("AB 123 CD"))
    matches = match["event_data"]["watchlist_matches"]
    assert [(one["kind"], one["distance"]) for one in matches] == [
        ("exact", None), ("glob", None), ("regex", None), ("fuzzy", 0.25)
    ]  # fmt: skip
    [match] = _published_matches(ingest, plate_read("XY 999"))
    assert [one["kind"] for one in match["event_data"]["watchlist_matches"]] == ["regex"]


def test_a_change_applies_to_the_next_batch(api: ApiCalls, ingest: IngestHarness) -> None:
    """Patterns added or deleted and watch-lists disabled, renamed or deleted take effect without a cache delay."""
    read = plate_read("AB 1")
    assert _published_matches(ingest, read) == []
    number = _create_watchlist(api)
    assert _published_matches(ingest, read) == []
    [pattern] = _add_patterns(api, number, _exact("AB1"))
    [match] = _published_matches(ingest, read)
    assert [again["event_id"] for again in _published_matches(ingest, read)] == [match["event_id"]]
    api.call("PUT", f"{PATH}/{number}", body='{"name": "stolen", "enabled": false}')
    assert _published_matches(ingest, read) == []
    api.call("PUT", f"{PATH}/{number}", body='{"name": "found"}')
    [match] = _published_matches(ingest, read)
    assert match["event_data"]["watchlist_matches"][0]["watchlist"] == "found"
    api.delete(f"{PATH}/{number}/patterns/{pattern}")
    assert _published_matches(ingest, read) == []
    _add_patterns(api, number, _exact("AB1"))
    assert len(_published_matches(ingest, read)) == 1
    api.delete(f"{PATH}/{number}")
    assert _published_matches(ingest, read) == []


def test_a_pattern_expires_without_a_change(api: ApiCalls, database_url: str) -> None:
    """A pattern stops matching at its expiry time, also if it expired before it was loaded."""
    clock = ManualClock(NOON)
    _create_watchlist(
        api,
        "short",
        _exact("AB1", expires_at=_at(NOON + timedelta(hours=24 * 365))),
        _exact("AB2", expires_at=_at(NOON - timedelta(hours=24 * 30))),
    )
    with open_ingest(database_url, clock=clock) as ingest:
        assert len(_published_matches(ingest, plate_read("AB 1"), plate_read("AB 2"))) == 1
        clock.advance(86_400 * 366)
        assert _published_matches(ingest, plate_read("AB 1")) == []


def _at(moment: datetime) -> str:
    return moment.isoformat()


def test_a_match_that_was_not_published_is_retried(api: ApiCalls, ingest: IngestHarness) -> None:
    """The event was stored and publishing failed: the queue delivers it again, and both messages are published."""
    _create_watchlist(api, "stolen", _exact("AB1"))
    event = plate_read("AB 1")
    invocation = batch([event])
    ingest.publisher.refusing.add(event["event_id"])
    assert failures(ingest.handle(invocation)) == [invocation["Records"][0]["messageId"]]
    assert ingest.publisher.published == []
    ingest.publisher.refusing.clear()
    assert failures(ingest.handle(invocation)) == []
    assert [one["event_type"] for one in ingest.publisher.documents()] == ["anpr", "plate_match"]


def test_a_match_of_a_thousand_patterns_fits_one_message(api: ApiCalls, ingest: IngestHarness) -> None:
    """The document has a limited number of patterns and the total number."""
    number = _create_watchlist(api)
    globs = ({"kind": "glob", "pattern": "A" + "*" * (1 + count % 90), "reason": str(count)} for count in range(1000))
    _add_patterns(api, number, *globs)
    [match] = _published_matches(ingest, plate_read("AB 1"))
    assert match["event_data"]["watchlist_match_count"] == 1000
    assert len(match["event_data"]["watchlist_matches"]) == MAX_DOCUMENT_MATCHES


def test_only_changed_patterns_are_loaded(api: ApiCalls, database_url: str) -> None:
    """After one change to ten thousand patterns, one pattern is loaded."""
    number = _create_watchlist(api, "stolen", *(_exact(f"AB{count}") for count in range(50)))
    watch = WatchlistMatcher(clock=ManualClock(NOON))
    with psycopg.connect(database_url, autocommit=True) as connection:
        watch.refresh(connection)
        assert len(watch) == 50
        connection.execute("ALTER TABLE watchlist_patterns RENAME TO away")
        watch.refresh(connection)
        connection.execute("ALTER TABLE away RENAME TO watchlist_patterns")
        _add_patterns(api, number, _exact("XY1"))
        watch.refresh(connection)
        assert len(watch) == 51


def test_an_unknown_pattern_kind_is_skipped(api: ApiCalls, ingest: IngestHarness) -> None:
    """A pattern of a newer version is skipped with a warning, and the others match."""
    number = _create_watchlist(api, "stolen", _exact("AB1"))
    with psycopg.connect(ingest.url) as connection:
        connection.execute(
            "INSERT INTO watchlist_patterns (watchlist_id, kind, pattern) VALUES (%s, 'regex', '(')", [number]
        )
    assert len(_published_matches(ingest, plate_read("AB 1"))) == 1
