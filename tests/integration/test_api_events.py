"""Reading and counting events through the API, on PostgreSQL, called with API Gateway events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from cloud_functions.api.events.responses import EventListResponse, EventResponse, EventStatisticsResponse
from cloud_functions.api.handler import ApiHandler, lambda_app_from_environment
from cloud_functions.api.http.cursor import Cursor
from cloud_functions.api.http.limits import Limits
from cloud_functions.db.events.record import FLAT_EVENT_COLUMNS, FlatEvent
from shared.clock import format_utc
from tests.support.api_calls import NOON, ApiCalls, events_each_minute, lambda_api, store, stored_event


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def _ids(answer: Any) -> list[int]:
    return [event["id"] for event in answer.json()["events"]]


def test_an_event_equals_its_published_document(api: ApiCalls, database_url: str) -> None:
    """The list and the single event return the same fields as the published event."""
    data = {"class_name": "person", "confidence": 0.5, "zones": ["é"], "track_id": 2**60, "x": [1.10, None, "\u2028"]}
    [number] = store(database_url, [stored_event("tracking", event_data=data, snapshot_path=None)])
    with psycopg.connect(database_url) as connection:
        row = connection.execute(f"SELECT {FLAT_EVENT_COLUMNS} FROM events").fetchone()  # pyright: ignore
    assert row is not None
    flat = FlatEvent.from_row(row).to_dict()
    assert api.get(f"/api/events/{number}").json() == flat
    assert api.get(f"/api/events/{flat['event_id']}").json() == flat
    assert api.get("/api/events").json()["events"] == [flat]
    assert api.get("/api/events/recent").json() == {"events": [flat], "count": 1}
    EventResponse.model_validate(flat)


def test_a_missing_event_is_a_404(api: ApiCalls) -> None:
    """The problem is the same for an id and for both kinds of UUID."""
    for ref in (
        "1",
        str(2**63 - 1),
        "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "6fa459ea-ee8a-4ca4-894e-db77e160355e",
    ):
        answer = api.get(f"/api/events/{ref}")
        assert answer.status == 404
        assert answer.json()["type"] == "urn:vedette:problem:event-not-found"


def test_an_event_is_found_if_the_time_in_its_uuid_differs(api: ApiCalls, database_url: str) -> None:
    """The event ids of a replayed clip are created years after its capture times."""
    event_id = UUID("0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11")  # created 2024-11
    old = NOON.replace(year=2019)
    [number] = store(database_url, [stored_event(event_id=str(event_id), timestamp=old)])
    assert api.get(f"/api/events/{event_id}").json()["id"] == number
    assert api.get(f"/api/events/{event_id}").json()["timestamp"] == format_utc(old)


def test_pages_are_newest_first_with_an_exact_total(api: ApiCalls, database_url: str) -> None:
    """Consecutive pages have no gap, and ``has_more`` is correct."""
    numbers = store(database_url, events_each_minute(25))
    seen: list[int] = []
    for page in (1, 2, 3):
        answer = api.get("/api/events", page=page, page_size=10)
        EventListResponse.model_validate(answer.json())
        assert answer.json()["total"] == 25
        assert answer.json()["page"] == page
        assert answer.json()["has_more"] == (page < 3)
        seen += _ids(answer)
    assert seen == numbers[::-1]
    beyond = api.get("/api/events", page=4, page_size=10).json()
    assert (beyond["events"], beyond["total"], beyond["has_more"], beyond["next_cursor"]) == ([], 25, False, None)


def test_a_cursor_returns_every_event_once_while_events_arrive(api: ApiCalls, database_url: str) -> None:
    """Events with the same timestamp are not lost between two pages, and new events do not shift the pages."""
    numbers = store(database_url, [stored_event(timestamp=NOON + timedelta(seconds=n // 7)) for n in range(40)])
    answer = api.get("/api/events", page_size=6).json()
    walked = [event["id"] for event in answer["events"]]
    while answer["next_cursor"]:
        store(database_url, [stored_event(timestamp=NOON + timedelta(hours=1))])
        answer = api.get("/api/events", page_size=6, cursor=answer["next_cursor"]).json()
        assert answer["page"] is None
        walked += [event["id"] for event in answer["events"]]
    assert walked == sorted(numbers, reverse=True)
    assert not answer["has_more"]


def test_each_condition_selects_its_events(api: ApiCalls, database_url: str) -> None:
    """For each condition, one event matches and another one does not."""
    dog_at_gate = {"class_name": "dog", "confidence": 0.7, "zones": ["yard", "gate"]}
    two_objects = {"detections": [{"class_name": "car", "confidence": 0.9}, {"class_name": "dog", "confidence": 0.4}]}
    a, b, c, d, e, f = store(
        database_url,
        [
            stored_event("tracking", camera_id="camera-2", event_data=dog_at_gate),
            stored_event("detection", event_data=two_objects),
            stored_event("motion", site_id="depot", timestamp=NOON - timedelta(days=40)),
            stored_event("anpr"),
            stored_event("anpr", event_data={"plate_normalized": "B12", "anpr_result": {"confidence": 0.2}}),
            stored_event("camera_status", event_data={"status": "online"}, timestamp=NOON + timedelta(seconds=1)),
        ],
    )
    for conditions, expected in [
        ({"camera_id": "camera-2"}, {a}),
        ({"event_type": "anpr"}, {d, e}),
        ({"class_name": "dog"}, {a, b}),
        ({"class_name": "do"}, set()),
        ({"min_confidence": 0.7}, {a, b, d}),
        ({"min_confidence": 0.700001}, {b, d}),
        ({"min_confidence": 0}, {a, b, d, e}),
        ({"class_name": "dog", "min_confidence": 0.5}, {a}),
        ({"class_name": "car", "min_confidence": 0.5}, {b}),
        ({"zone": "gate"}, {a}),
        ({"zone": "gate", "class_name": "dog"}, {a}),
        ({"zone": "gate", "class_name": "car"}, set()),
        ({"site_id": "depot"}, {c}),
        ({"license_plate": "b-1"}, {d}),
        ({"license_plate": "B 12"}, {e}),
        ({"start_time": format_utc(NOON)}, {a, b, d, e, f}),
        ({"start_time": format_utc(NOON + timedelta(microseconds=1))}, {f}),
        ({"end_time": format_utc(NOON)}, {a, b, c, d, e}),
        ({"end_time": format_utc(NOON - timedelta(microseconds=1))}, {c}),
        ({"start_time": format_utc(NOON), "end_time": format_utc(NOON), "event_type": "detection"}, {b}),
    ]:
        answer = api.get("/api/events", **conditions)
        assert set(_ids(answer)) == expected, conditions
        assert answer.json()["total"] == len(expected), conditions
        assert api.get("/api/events/stats", **conditions).json()["total_events"] == len(expected), conditions


def test_shortcuts_are_lists_with_a_condition(api: ApiCalls, database_url: str) -> None:
    """``/camera/...`` and ``/plate/...`` accept the other parameters of the list and reject a contradicting
    condition."""
    one, _, plate = store(
        database_url, [stored_event(), stored_event(camera_id="camera-2"), stored_event("anpr", camera_id="camera-3")]
    )
    assert _ids(api.get("/api/events/camera/camera-1")) == [one]
    assert _ids(api.get("/api/events/camera/camera-1", event_type="anpr")) == []
    assert _ids(api.get("/api/events/plate/b%201")) == [plate]
    assert api.get("/api/events/camera/camera-1", camera_id="camera-2").status == 422
    assert api.get("/api/events/plate/B1", license_plate="B2").status == 422


def test_every_route_is_available_under_v1(api: ApiCalls, database_url: str) -> None:
    """``/api/v1`` has the same routes as ``/api``."""
    [number] = store(database_url, [stored_event()])
    for path in ("/events", "/events/stats", "/events/recent", f"/events/{number}", "/events/export"):
        assert api.get(f"/api/v1{path}").body == api.get(f"/api{path}").body


def test_statistics_are_exact(api: ApiCalls, database_url: str) -> None:
    """Totals by type and camera are sorted by size, and the time range is that of the events."""
    store(database_url, events_each_minute(3) + events_each_minute(2, event_type="anpr", camera_id="camera-2"))
    answer = api.get("/api/events/stats").json()
    EventStatisticsResponse.model_validate(answer)
    assert answer == {
        "total_events": 5,
        "events_by_type": {"motion": 3, "anpr": 2, "detection": 0, "tracking": 0},
        "events_by_camera": {"camera-1": 3, "camera-2": 2},
        "date_range": {"first_event": format_utc(NOON), "last_event": format_utc(NOON + timedelta(minutes=2))},
    }
    assert api.get("/api/events/stats", camera_id="nothing").json() == {
        "total_events": 0,
        "events_by_type": {"detection": 0, "motion": 0, "anpr": 0, "tracking": 0},
        "events_by_camera": {},
        "date_range": {"first_event": None, "last_event": None},
    }


def test_recent_events_are_the_newest(api: ApiCalls, database_url: str) -> None:
    """The list has at most ``limit`` events, newest first, and no total."""
    numbers = store(database_url, events_each_minute(12))
    assert _ids(api.get("/api/events/recent")) == numbers[:-11:-1]
    assert _ids(api.get("/api/events/recent", limit=2)) == numbers[:-3:-1]


@pytest.mark.parametrize(
    ("start", "end", "matching"),
    [
        ("2026-11-20T12:00:00", "2026-11-20T12:01:00", 2),
        ("2026-11-20 12:00", "2026-11-20T14:01:00+02:00", 2),
        ("2026-11-20", "2026-11-21", 3),
        ("2026-11-21", None, 0),
    ],
)
def test_times_without_a_zone_are_utc(
    api: ApiCalls, database_url: str, start: str, end: str | None, matching: int
) -> None:
    """A time without a UTC offset is UTC, and a date is its midnight, on every route with times."""
    store(database_url, events_each_minute(3))
    times = {"start_time": start} | ({} if end is None else {"end_time": end})
    assert api.get("/api/events", **times).json()["total"] == matching
    assert api.get("/api/events/stats", **times).json()["total_events"] == matching
    assert api.get("/api/events/camera/camera-1", **times).json()["total"] == matching
    assert len(api.get("/api/events/export", **times).body.splitlines()) == matching
    if matching:
        assert api.post("/api/events/delete", times).json()["deleted"] == matching


def test_a_page_too_large_for_lambda_truncates_the_largest_events(database_url: str) -> None:
    """Events of 100 KB are returned without data, and the other events are unchanged."""
    numbers = store(database_url, [stored_event(event_data={"x": "y" * 3000})] * 3 + [stored_event()])
    handler, dependencies = lambda_api(database_url, limits=Limits(image_bytes=10, export_bytes=12_000))
    answer = ApiCalls(handler).get("/api/events").json()
    assert [event["id"] for event in answer["events"]] == numbers[::-1]
    assert [event["event_data"].get("truncated", False) for event in answer["events"]].count(True) == 1
    assert answer["events"][0]["event_data"] == stored_event()["event_data"]
    handler.close()
    dependencies.close()


def test_a_broken_connection_is_reopened(api: ApiCalls, database_url: str) -> None:
    """A fail-over or a closed idle connection does not fail a request."""
    store(database_url, [stored_event()])
    assert api.get("/api/events").json()["total"] == 1
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vedette'")
    assert api.get("/api/events").json()["total"] == 1


def test_a_slow_query_is_a_503_too_slow(database_url: str) -> None:
    """The statement timeout ends the query, and the detail names how to narrow it."""
    from cloud_functions.api.backends.database import ApiDatabase
    from cloud_functions.api.backends.thread_pool import InlineThreadPool
    from cloud_functions.api.http.problems import Problem
    from cloud_functions.db.connect import Database
    from cloud_functions.settings import DatabaseSettings

    settings = DatabaseSettings(url=database_url, statement_timeout_ms=20)
    database = ApiDatabase(make_database=lambda: Database.from_settings(settings), thread_pool=InlineThreadPool())
    with pytest.raises(Problem) as caught:
        _run(database.run(lambda connection: connection.execute("SELECT pg_sleep(5)")))
    assert (caught.value.status, caught.value.kind) == (503, "too-slow")
    assert _run(database.run(lambda connection: connection.execute("SELECT 1").fetchone())) == (1,)
    database.close()


def _run(awaitable: Any) -> Any:
    import asyncio

    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait())


def test_deep_pages_in_a_busy_hour_are_correct(api: ApiCalls, database_url: str) -> None:
    """Hundreds of events in part of an hour: deep pages and cursors before the first event are correct."""
    numbers = store(database_url, [stored_event(timestamp=NOON + timedelta(seconds=n / 10)) for n in range(300)])
    window = {"start_time": format_utc(NOON), "end_time": format_utc(NOON + timedelta(minutes=20))}
    assert _ids(api.get("/api/events", page=26, page_size=10, **window)) == numbers[::-1][250:260]
    before_all = Cursor(timestamp=NOON - timedelta(days=1), id=1).encode()
    answer = api.get("/api/events", cursor=before_all).json()
    assert (answer["events"], answer["total"], answer["has_more"]) == ([], 300, False)


def test_the_lambda_handler_reads_environment_variables(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real handler responds, and health names the missing settings."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("SNAPSHOT_BUCKET", "pictures")
    for name in ("EVENTS_TOPIC_ARN", "AWS_LAMBDA_FUNCTION_NAME"):
        monkeypatch.delenv(name, raising=False)
    lambda_handler = ApiHandler(make_app=lambda_app_from_environment)
    calls = ApiCalls(lambda_handler)
    assert calls.get("/api/events").json()["total"] == 0
    lambda_handler.close()
