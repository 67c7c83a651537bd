"""The plates API on PostgreSQL, called with API Gateway events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cloud_functions.api.plates.responses import PlateHistoryResponse, PlateListResponse, PlateStatisticsResponse
from tests.support.api_calls import Answer, ApiCalls, lambda_api
from tests.support.ingest_harness import open_ingest
from tests.support.plate_reads import plate_read
from tests.support.wire_events import batch, failures


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def _store(url: str, *reads: dict[str, Any]) -> None:
    with open_ingest(url) as ingest:
        assert failures(ingest.handle(batch(reads))) == []


def _texts(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    return [read["plate_text"] for read in answer.json()["plates"]]


def test_a_read_has_all_fields(api: ApiCalls, database_url: str) -> None:
    """All columns, times with Z, and the documented model."""
    event = plate_read("AB 123 CD", latency_ms=12.5, vehicle={"color": "red"})
    _store(database_url, event)
    answer = api.get("/api/plates", plate="ab-123.cd")
    [read] = answer.json()["plates"]
    assert read["event_id"] == event["event_id"]
    assert read["captured_at"] == "2026-11-20T12:00:00.000000Z"
    assert (read["vehicle_color"], read["vehicle_make"], read["latency_ms"], read["region"]) == (
        "red",
        None,
        12.5,
        "ro",
    )
    assert "similarity" not in read
    PlateListResponse.model_validate(answer.json())
    assert api.get("/api/v1/plates").json() == answer.json() | {"total": 1}


def test_exact_and_prefix_searches_with_conditions(api: ApiCalls, database_url: str) -> None:
    """Whole plates, prefixes, region, camera, site and time narrow the list, and totals are exact."""
    _store(
        database_url,
        plate_read("AB 1", minute=0),
        plate_read("AB 12", minute=1, region=None),
        plate_read("AB 12", minute=2, camera_id="camera-2", site_id="yard", device_id="gate-02"),
        plate_read("AC 1", minute=3, region="de"),
        plate_read("ABZ 9", minute=4),
    )
    for expected, conditions in (
        (["ABZ 9", "AC 1", "AB 12", "AB 12", "AB 1"], {}),
        (["AB 12", "AB 12"], {"plate": "AB12"}),
        ([], {"plate": "AB123"}),
        (["ABZ 9", "AB 12", "AB 12", "AB 1"], {"plate": "AB", "match": "prefix"}),
        (["AB 12"], {"plate": "AB", "match": "prefix", "camera_id": "camera-2"}),
        (["AB 12"], {"site_id": "yard"}),
        (["AC 1"], {"region": "de"}),
        (["AC 1", "AB 12"], {"start_time": "2026-11-20T12:02:00Z", "end_time": "2026-11-20T12:03:00Z"}),
        (["AB 12"], {"plate": "AB 12", "end_time": "2026-11-20T12:01:00Z"}),
        ([], {"camera_id": "camera-9"}),
    ):
        answer = api.get("/api/plates", **conditions)
        assert _texts(answer) == expected, conditions
        assert answer.json()["total"] == len(expected)
        assert not answer.json()["has_more"]


@pytest.mark.parametrize("conditions", [{}, {"plate": "AB", "match": "prefix"}, {"plate": "AB 10", "match": "fuzzy"}])
def test_pages_by_offset_and_cursor_are_complete(api: ApiCalls, database_url: str, conditions: dict[str, str]) -> None:
    """Both return every read once in the same order; with a cursor also while reads arrive."""
    _store(database_url, *(plate_read(f"AB {10 + number % 3}", minute=number // 2) for number in range(23)))
    whole = [read["id"] for read in api.get("/api/plates", limit=500, **conditions).json()["plates"]]
    assert len(whole) == 23
    by_offset: list[int] = []
    for offset in range(0, 25, 5):
        page = api.get("/api/plates", limit=5, offset=offset, **conditions).json()
        assert (page["total"], page["offset"], page["has_more"]) == (23, offset, offset < 20)
        by_offset += [read["id"] for read in page["plates"]]
    assert by_offset == whole
    by_cursor: list[int] = []
    page = api.get("/api/plates", limit=4, **conditions).json()
    while True:
        by_cursor += [read["id"] for read in page["plates"]]
        if not page["has_more"]:
            break
        page = api.get("/api/plates", limit=4, cursor=page["next_cursor"], **conditions).json()
        assert page["offset"] is None
    assert by_cursor == whole
    assert page["next_cursor"] is None


def test_fuzzy_search_returns_the_nearest_first(api: ApiCalls, database_url: str) -> None:
    """Replacing similar characters counts less, and plates beyond the maximum distance are excluded."""
    stored = ["B123ABC", "8I23A8C", "B123ABD", "B1234ABC", "B999XYZ", "B123A8C"]
    _store(database_url, *(plate_read(text, minute=number) for number, text in enumerate(stored)))
    answer = api.get("/api/plates", plate="B 123 ABC", match="fuzzy")
    plates = answer.json()["plates"]
    assert [(read["plate_text"], read["edit_distance"], read["distance"]) for read in plates] == [
        ("B123ABC", 0, 0),
        ("B123A8C", 1, 0.25),
        ("8I23A8C", 3, 0.75),
        ("B123ABD", 1, 1),
        ("B1234ABC", 1, 1),
    ]
    assert plates[0]["similarity"] == 1
    assert 0 < plates[4]["similarity"] < 1
    PlateListResponse.model_validate(answer.json())
    assert _texts(api.get("/api/plates", plate="B123ABC", match="fuzzy", max_distance=0)) == ["B123ABC"]
    assert _texts(api.get("/api/plates", plate="B123ABC", match="fuzzy", end_time="2026-11-20T12:01:30Z")) == [
        "B123ABC",
        "8I23A8C",
    ]
    nothing = api.get("/api/plates", plate="ZZZZZZ", match="fuzzy").json()
    assert (nothing["plates"], nothing["total"]) == ([], 0)


def test_a_cursor_of_a_deleted_read_is_rejected(api: ApiCalls, database_url: str) -> None:
    """Fuzzy pages start at the read of the cursor, so the client must restart the search."""
    _store(database_url, *(plate_read("AB 10", minute=number) for number in range(3)))
    page = api.get("/api/plates", plate="AB10", match="fuzzy", limit=1).json()
    api.delete(f"/api/events/{page['plates'][0]['id']}")
    answer = api.get("/api/plates", plate="AB10", match="fuzzy", cursor=page["next_cursor"])
    assert answer.status == 422
    assert answer.json()["errors"][0]["parameter"] == "cursor"


def test_a_deleted_event_is_removed_from_searches(api: ApiCalls, database_url: str) -> None:
    """Deleting an event removes its read, its plate and its share of the statistics."""
    _store(database_url, plate_read("AB 10"), plate_read("CD 20", minute=1))
    [read] = api.get("/api/plates", plate="AB10").json()["plates"]
    assert api.delete(f"/api/events/{read['event_id']}").status == 200
    for match in ("exact", "prefix", "fuzzy"):
        assert api.get("/api/plates", plate="AB10", match=match).json()["total"] == 0
    assert api.get("/api/plates/AB10").status == 404
    assert api.get("/api/plates/stats").json()["unique_plates"] == 1


def test_the_history_of_a_plate_summarizes_its_reads(api: ApiCalls, database_url: str) -> None:
    """First and last time, cameras with totals and the newest reads; an unknown plate is a 404."""
    _store(
        database_url,
        plate_read("AB 10", minute=0, confidence=0.5),
        plate_read("ab-10", minute=5, camera_id="camera-2", confidence=1.0),
        plate_read("AB10", minute=9, confidence=0.75),
        plate_read("AB 11", minute=10),
    )
    answer = api.get("/api/plates/aB-10", limit=2)
    body = answer.json()
    PlateHistoryResponse.model_validate(body)
    assert body["plate_normalized_text"] == "AB10"
    assert (body["total_events"], body["avg_confidence"]) == (3, 0.75)
    assert (body["first_seen"], body["last_seen"]) == (
        "2026-11-20T12:00:00.000000Z",
        "2026-11-20T12:09:00.000000Z",
    )
    assert [(camera["camera_id"], camera["events"]) for camera in body["cameras"]] == [
        ("camera-1", 2),
        ("camera-2", 1),
    ]
    assert [read["plate_text"] for read in body["plates"]] == ["AB10", "ab-10"]
    missing = api.get("/api/plates/XX99")
    assert (missing.status, missing.json()["type"]) == (404, "urn:vedette:problem:plate-not-found")


@pytest.mark.parametrize("path", ["/stats", "/api/plates/stats", "/api/v1/plates/stats"])
def test_statistics_are_exact(api: ApiCalls, database_url: str, path: str) -> None:
    """All six values are correct on all routes."""
    assert api.get(path).json() == {
        "is_connected": True,
        "total_events": 0,
        "unique_plates": 0,
        "active_cameras": 0,
        "avg_confidence": None,
        "avg_latency_ms": None,
    }
    _store(
        database_url,
        plate_read("A 1", confidence=0.5, latency_ms=100.0),
        plate_read("A 1", minute=1, confidence=0.7, camera_id="camera-2"),
        plate_read("B 1", minute=2, confidence=0.9, latency_ms=200.0),
    )
    body = api.get(path).json()
    PlateStatisticsResponse.model_validate(body)
    assert (body["total_events"], body["unique_plates"], body["active_cameras"]) == (3, 2, 2)
    assert (body["avg_confidence"], body["avg_latency_ms"]) == (pytest.approx(0.7), 150.0)


def test_statistics_without_a_database_are_null() -> None:
    """If the database is unavailable, ``is_connected`` is false."""
    handler, dependencies = lambda_api()
    body = ApiCalls(handler).get("/stats").json()
    handler.close()
    dependencies.close()
    assert body["is_connected"] is False
    assert body["total_events"] is None
    PlateStatisticsResponse.model_validate(body)


@pytest.mark.parametrize(
    "parameters",
    [
        {"match": "prefix"},
        {"match": "fuzzy"},
        {"match": "fuzzy", "plate": "A1"},
        {"match": "like", "plate": "AB10"},
        {"plate": "A%"},
        {"plate": "_" * 20, "match": "prefix"},
        {"offset": 100_001},
        {"offset": 1, "cursor": "AQAGRAcTz5JAAAAAAAAAEme5_r7d"},
        {"limit": 501},
        {"max_distance": 5},
        {"region": "d'e"},
        {"start_time": "2026-11-21T00:00:00Z", "end_time": "2026-11-20T00:00:00Z"},
        {"plates": "AB10"},
    ],
)
def test_invalid_parameters_are_rejected(api: ApiCalls, parameters: dict[str, Any]) -> None:
    """The 422 names the parameter."""
    answer = api.get("/api/plates", **parameters)
    assert answer.status == 422
    assert answer.json()["type"] == "urn:vedette:problem:invalid-parameter"
