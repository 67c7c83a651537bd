"""Events with unknown fields of any name and type, through every reader of stored events."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cloud_functions.api.events.export import CSV_COLUMNS
from cloud_functions.fanout.handler import build_fanout
from cloud_functions.fanout.targets.redis import RedisTarget
from cloud_functions.ingest.publish import SnsPublisher
from infra.local.demo.event_lines import event_line
from shared.errors import ContractError
from shared.event_dicts import parse_event_dict
from tests.support.api_calls import ApiCalls, lambda_api, store, stored_event
from tests.support.ingest_harness import RECOUNT, IngestHarness, open_ingest
from tests.support.wire_events import DATA, batch, encoded, failures, record, wire_event
from tests.unit.cloud_functions.ingest.test_publish import RecordingSns

NAMES = sorted(
    {name for make in DATA.values() for name in make()}
    | {"detections", "plate_protected", "watchlist_matches", "host", "roi", "plate_image_key", "truncated", "direction"}
    | {"duration_seconds", "dwell_time_seconds", "rule", "name", "vehicle", "candidates", "error", "status"}
)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT,
        st.sampled_from(["none", "=1+1", "=1", "NaN", "-1"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES) | TEXT, inner, max_size=3)
    ),
    max_leaves=6,
)
EXTRAS = st.dictionaries(st.sampled_from(NAMES) | TEXT, JSON, max_size=5)


@pytest.fixture
def ingest(database_url: str) -> Iterator[IngestHarness]:
    with open_ingest(database_url) as one:
        yield one


def _events(extras: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return a strategy for valid events with unknown fields that do not replace fields of their type."""
    made = [wire_event(kind, event_data={**extra, **DATA[kind]()}) for kind, extra in extras]
    found: list[dict[str, Any]] = []
    for event in made:
        try:
            parse_event_dict(encoded(event))
        except ContractError:
            continue
        found.append(event)
    return found


def _watch_everything(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO watchlists (name) VALUES ('all') ON CONFLICT DO NOTHING")
        connection.execute(
            "INSERT INTO watchlist_patterns (watchlist_id, kind, pattern)"
            " SELECT watchlist_id, 'glob', '*' FROM watchlists"
        )


@settings(
    max_examples=15,
    deadline=None,
    phases=[
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ],  # an example executes some fifty SQL statements, so shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.sampled_from(sorted(DATA)), EXTRAS), min_size=1, max_size=4))
def test_cloud_a7_unknown_fields_break_no_reader(
    database_url: str, redis_url: str, extras: list[tuple[str, dict[str, Any]]]
) -> None:
    """Each event is stored, counted, matched, listed, exported, published to SNS and Redis, and printed."""
    events = _events(extras)
    ids = {event["event_id"] for event in events}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("TRUNCATE events")
        connection.execute("TRUNCATE watchlists CASCADE")
    _watch_everything(database_url)
    with open_ingest(database_url) as ingest:
        assert failures(ingest.handle(batch(events))) == []
        assert ingest.dead_letters.reasons() == []
        assert ingest.rows(RECOUNT) == []
        published = ingest.publisher.published
    plates = sum(event["event_type"] == "anpr" for event in events)
    assert len(published) == len(events) + plates
    assert SnsPublisher(topic_arn="arn:topic", aws=RecordingSns()).publish(published) == set()  # type: ignore[arg-type]

    client = redis.Redis.from_url(redis_url)
    fanout = build_fanout({"REDIS_URL": redis_url}, target=RedisTarget(client=client, stream=f"stream-{uuid4()}"))
    assert failures(fanout.handle({"Records": [record(one.document) for one in published]})) == []
    for one in published:
        assert event_line(json.loads(one.document), api_url="http://127.0.0.1").plain

    handler, dependencies = lambda_api(database_url)
    calls = ApiCalls(handler)
    try:
        for path, key in (("/api/events", "events"), ("/api/events/recent", "events"), ("/api/plates", "plates")):
            answer = calls.get(path)
            assert answer.status == 200, answer
            assert len(answer.json()[key]) == (plates if key == "plates" else len(ids))
        for event in events:
            data = calls.get(f"/api/events/{event['event_id']}").json()["event_data"]
            assert {name for name in event["event_data"] if name not in data} == set()
        lines = calls.get("/api/events/export").body.decode().splitlines()
        assert {json.loads(line)["event_id"] for line in lines} == ids
        table = list(csv.DictReader(io.StringIO(calls.get("/api/events/export", format="csv").body.decode())))
        assert {row["event_id"] for row in table} == ids
        for row in table:
            assert bool(row["class_name"]) is (row["event_type"] in ("tracking", "rule"))
            assert bool(row["license_plate"]) is (row["event_type"] == "anpr")
            assert bool(row["confidence"]) is (row["event_type"] in ("tracking", "rule", "anpr"))
        found = calls.get("/api/events", class_name="person", min_confidence="0.87")
        assert found.json()["total"] == sum(event["event_type"] in ("tracking", "rule") for event in events)
    finally:
        handler.close()
        dependencies.close()


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("motion", {"anpr_result": "none", "class_name": {"a": 1}, "confidence": ["="], "plate_normalized": 7}),
        (
            "anpr",
            {"anpr_result": {"license_plate": "B 1", "confidence": 0.9, "region": {"a": 1}}, "plate_normalized": "B1"},
        ),
        ("tracking", {"class_name": "person", "confidence": 0.5, "anpr_result": 3, "plate_normalized": "=1"}),
        ("detection", {"detections": [{"class_name": "car", "confidence": 0.8}], "confidence": "high"}),
        ("camera_status", {"status": ["odd"], "detections": 5}),
        ("snapshot", {"deep": json.loads("[" * 900 + "]" * 900)}),
        ("motion", {"many": 10**4200}),
    ],
)
def test_cloud_a7_unvalidated_rows_are_exported(database_url: str, event_type: str, data: dict[str, Any]) -> None:
    """A row that ingest has not validated, with data of another type, is in every export, as are the rows around it."""
    with psycopg.connect(database_url) as connection:
        for event in (stored_event(), stored_event(event_type, event_data=data), stored_event()):
            connection.execute(
                'INSERT INTO events (event_id, event_type, site_id, device_id, camera_id, "timestamp", event_data)'
                " VALUES (gen_random_uuid(), %s, %s, %s, %s, %s, %s::jsonb)",
                [
                    *(event[name] for name in ("event_type", "site_id", "device_id", "camera_id", "timestamp")),
                    _text(event),
                ],
            )
    handler, dependencies = lambda_api(database_url)
    calls = ApiCalls(handler)
    try:
        assert calls.get("/api/events/export").body.count(b"\n") == 3
        answer = calls.get("/api/events/export", format="csv")
        assert (answer.status, len(list(csv.reader(io.StringIO(answer.body.decode()))))) == (200, 4)
        assert calls.get("/api/events", class_name="car", min_confidence="0.77").status == 200
        assert len(calls.get("/api/events").body) > 300
    finally:
        handler.close()
        dependencies.close()


def _text(event: dict[str, Any]) -> str:
    return json.dumps(event["event_data"]) if "many" not in event["event_data"] else '{"many": 1' + "0" * 4300 + "}"


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+1",
        "-1",
        "@A1",
        "\t=1",
        "\r=1",
        " =1",
        "＝1",
        "＋1",
        "－1",
        "＠A1",
        "\u00a0=1",
        "\u200b=1",
        "\ufeff＝1",
        "\u3000＝1",
    ],
)
def test_cloud_14_formulas_are_exported_as_text(database_url: str, name: str) -> None:
    """A class name that a spreadsheet would evaluate is text in CSV, also with full-width characters."""
    store(database_url, [stored_event("tracking", event_data={"class_name": name, "confidence": 0.5, "zones": []})])
    handler, dependencies = lambda_api(database_url)
    try:
        body = ApiCalls(handler).get("/api/events/export", format="csv").body.decode()
        [header, row] = list(csv.reader(io.StringIO(body, newline="")))
        assert dict(zip(header, row, strict=True))["class_name"] == f"'{name}"
        assert header == list(CSV_COLUMNS)
    finally:
        handler.close()
        dependencies.close()
