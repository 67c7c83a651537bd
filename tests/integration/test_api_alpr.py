"""Plate reads at the root path on PostgreSQL: the names, defaults and limits that ALPR clients use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from cloud_functions.api.alpr.responses import PlateRowResponse
from tests.support.api_calls import Answer, ApiCalls, lambda_api, store, stored_event
from tests.support.ingest_harness import open_ingest
from tests.support.plate_reads import plate_read
from tests.support.wire_events import batch, failures

SNAPSHOT = "camera-1/2026-11-20/anpr_120000_000000.jpg"


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def _store(url: str, *reads: dict[str, Any]) -> None:
    with open_ingest(url) as ingest:
        assert failures(ingest.handle(batch(reads))) == []


def _plates(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    return [row["plate_text"] for row in answer.json()]


def test_a_row_has_the_documented_columns(api: ApiCalls, database_url: str) -> None:
    """All columns have the names of the ALPR document, and the image address is that of the snapshot."""
    event = plate_read("AB 123 CD", latency_ms=12.5, vehicle={"color": "red"}, host="box-7", track_uid="camera-1-a-7")
    _store(database_url, event | {"snapshot_path": SNAPSHOT})
    [row] = api.get("/events/recent").json()
    PlateRowResponse.model_validate(row, strict=True)
    assert set(row) == set(PlateRowResponse.model_fields)
    assert row["event_id"] == event["event_id"]
    assert (row["plate_text"], row["plate_region"], row["vehicle_color"]) == ("AB 123 CD", "ro", "red")
    assert (row["host_id"], row["track_id"], row["latency_ms"]) == ("box-7", "camera-1-a-7", 12)
    assert row["frame_image_url"].startswith("https://")
    path = row["frame_image_url"].split("/", 3)[3]
    assert api.get(f"/{path}").json()["type"].endswith("snapshot-pending")  # the address of a route of this API
    assert row["plate_image_url"] is None
    assert api.get(f"/events/{event['event_id']}").json() == row


def test_lists_are_newest_first_and_limited(api: ApiCalls, database_url: str) -> None:
    """``limit`` and ``offset`` select rows, and the defaults are those of the document."""
    _store(database_url, *(plate_read("AB 123 CD", minute=minute / 4) for minute in range(120)))
    assert len(api.get("/events/recent").json()) == 100
    times = [row["captured_at"] for row in api.get("/events/recent", limit=120).json()]
    assert times == sorted(times, reverse=True)
    assert [row["captured_at"] for row in api.get("/events/plate/ab-123-cd", limit=3, offset=2).json()] == times[2:5]
    assert [row["captured_at"] for row in api.get("/events/plate/AB123CD", offset=100).json()] == times[100:]
    assert api.get("/events/plate/AB999").json() == []


def test_reads_of_a_camera_in_a_time_range(api: ApiCalls, database_url: str) -> None:
    """Both times are inclusive, and a time without a zone is UTC."""
    _store(
        database_url,
        *(plate_read(f"AB {minute}", minute=minute) for minute in range(4)),
        plate_read("XY 1", camera_id="camera-2"),
    )
    range_ = {"start_time": "2026-11-20T12:01:00Z", "end_time": "2026-11-20T12:02:00"}
    assert _plates(api.get("/events/camera/camera-1", **range_)) == ["AB 2", "AB 1"]
    assert _plates(api.get("/events/camera/camera-1", limit=1)) == ["AB 3"]
    assert _plates(api.get("/events/camera/camera-2")) == ["XY 1"]


def test_other_events_are_no_plate_rows(api: ApiCalls, database_url: str) -> None:
    """Lists leave out other event types, and their ids are a 404."""
    event_id = str(uuid4())
    store(database_url, [stored_event(event_id=event_id)])
    assert api.get("/events/recent").json() == []
    assert api.get(f"/events/{event_id}").status == 404
    assert api.get(f"/events/{uuid4()}").json()["type"].endswith("event-not-found")


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/events/recent", {"limit": "0"}),
        ("/events/recent", {"limit": "1001"}),
        ("/events/recent", {"offset": "1"}),
        ("/events/12", {}),
        ("/events/plate/-", {}),
        ("/events/plate/AB1", {"offset": "-1"}),
        ("/events/camera/a b", {}),
        ("/events/camera/camera-1", {"start_time": "2026-11-21", "end_time": "2026-11-20"}),
    ],
)
def test_invalid_parameters_are_named(api: ApiCalls, path: str, parameters: dict[str, str]) -> None:
    """A value out of range, an unknown parameter or an invalid path is a 422 problem."""
    answer = api.get(path, **parameters)
    assert answer.status == 422, answer
    assert answer.json()["errors"]
