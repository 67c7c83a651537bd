"""Exports of events through the API, on PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cloud_functions.api.http.limits import Limits
from tests.support.api_calls import NOON, ApiCalls, events_each_minute, lambda_api, store, stored_event


@pytest.fixture
def api(database_url: str) -> Iterator[ApiCalls]:
    handler, dependencies = lambda_api(database_url)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def test_an_export_has_every_event_in_both_formats(api: ApiCalls, database_url: str) -> None:
    """NDJSON has the events of the list; CSV has one row per event with the same values."""
    store(database_url, [*events_each_minute(3), stored_event("anpr", timestamp=NOON + timedelta(hours=1))])
    listed = api.get("/api/events").json()["events"]
    ndjson = api.get("/api/events/export")
    assert ndjson.headers["content-type"] == "application/x-ndjson"
    assert ndjson.headers["content-disposition"] == 'attachment; filename="events.ndjson"'
    assert [json.loads(line) for line in ndjson.body.splitlines()] == listed
    rows = list(csv.DictReader(io.StringIO(api.get("/api/events/export", format="csv").body.decode(), newline="")))
    assert [json.loads(row["event_data"]) for row in rows] == [event["event_data"] for event in listed]
    assert [int(row["id"]) for row in rows] == [event["id"] for event in listed]
    assert rows[0]["license_plate"] == "B1"
    assert api.get("/api/events/export", format="csv", event_type="detection").body.count(b"\r\n") == 1


def test_cloud_14_formulas_in_csv_cells_are_escaped(api: ApiCalls, database_url: str) -> None:
    """Text that a device sent does not run as a formula when the export is opened."""
    data = {"class_name": "=HYPERLINK(1)", "confidence": 1}
    store(database_url, [stored_event("tracking", camera_id="-1+cmd", event_data=data)])
    [row] = csv.DictReader(io.StringIO(api.get("/api/events/export", format="csv").body.decode()))
    assert row["class_name"] == "'=HYPERLINK(1)"
    assert row["camera_id"] == "'-1+cmd"


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_a_large_export_continues_with_a_cursor(database_url: str, form: str) -> None:
    """All parts together have every event exactly once."""
    numbers = store(database_url, events_each_minute(40))
    handler, dependencies = lambda_api(database_url, limits=Limits(image_bytes=10, export_bytes=8000))
    api = ApiCalls(handler)
    seen: list[int] = []
    parameters: dict[str, Any] = {"format": form}
    parts = 0
    while True:
        answer = api.get("/api/events/export", **parameters)
        assert len(answer.body) < 8000
        text = answer.body.decode()
        seen += (
            [int(row["id"]) for row in csv.DictReader(io.StringIO(text))]
            if form == "csv"
            else [json.loads(line)["id"] for line in text.splitlines()]
        )
        parts += 1
        if "x-next-cursor" not in answer.headers:
            break
        parameters["cursor"] = answer.headers["x-next-cursor"]
    handler.close()
    dependencies.close()
    assert parts > 1
    assert seen == numbers[::-1]


def test_an_export_with_a_limit_continues_with_a_cursor(api: ApiCalls, database_url: str) -> None:
    """``limit`` bounds one part, and the export continues after its cursor."""
    numbers = store(database_url, events_each_minute(5))
    first = api.get("/api/events/export", limit=2)
    assert [json.loads(line)["id"] for line in first.body.splitlines()] == numbers[:-3:-1]
    rest = api.get("/api/events/export", cursor=first.headers["x-next-cursor"])
    assert [json.loads(line)["id"] for line in rest.body.splitlines()] == numbers[-3::-1]
