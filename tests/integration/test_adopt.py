"""``vedette-admin adopt`` on databases made with the statements of each document: everything is taken or named."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import boto3
import psycopg
import pytest
from boto3.session import Session

from cloud_functions.aws import AwsClients
from cloud_functions.snapshot_store import S3SnapshotStore, SnapshotStore
from infra.admin.cli import main
from tests.support import old_systems
from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.backing_services import PostgresFixture
from tests.support.ingest_harness import rows
from tests.support.old_systems import ANPR, MOTION, TRACKING, fill, make, png, save
from tests.support.waiting import eventually

EVENT_COLUMNS = "event_type, camera_id, timestamp, frame_number, snapshot_path, event_data, created_at"
PLATE_COLUMNS = (
    "event_id, captured_at, camera_id, track_id, plate_text, plate_normalized_text, plate_confidence, plate_region"
)
NOON = datetime(2024, 3, 15, 12, 0, 0, 123456)  # noqa: DTZ001 - the old systems store times without a zone
BUCKET = "adopted-pictures"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def old_url(postgres: PostgresFixture) -> str:
    """An empty database for the old system."""
    return postgres.server.url_of(postgres.new_database(migrated=False))


@pytest.fixture
def run(database_url: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command and returns its status, output and errors."""

    def call(*arguments: str, url: str = database_url, **variables: str) -> tuple[int, str, str]:
        status = main(["adopt", *arguments], variables={"DATABASE_URL": url} | variables)
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


@pytest.fixture
def bucket(stack_s3: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of a bucket of the stack's S3."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", Session(aws_access_key_id="test", aws_secret_access_key="test"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack_s3)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    client.close()
    return {"SNAPSHOT_BUCKET": BUCKET, "AWS_ENDPOINT_URL": stack_s3}


def _event(event_type: str, data: Any, **changes: Any) -> list[Any]:
    values: dict[str, Any] = {
        "camera_id": "camera-1",
        "timestamp": NOON,
        "frame_number": 7,
        "snapshot_path": None,
        "created_at": NOON + timedelta(seconds=1),
    } | changes
    text = data if isinstance(data, str) or data is None else json.dumps(data)
    return [
        event_type,
        values["camera_id"],
        values["timestamp"],
        values["frame_number"],
        values["snapshot_path"],
        text,
        values["created_at"],
    ]


def test_events_keep_their_id_times_and_data(run: Run, old_url: str, database_url: str) -> None:
    """Both documents' tables of events: ids, naive times as UTC and documented data are kept; the old one is unchanged.

    New events get higher ids, statistics count the adopted ones, and a second run stores nothing twice.
    """
    make(old_url, old_systems.PUBLISHED_EVENTS)
    given = [
        _event("tracking", TRACKING | {"dwell_time_seconds": None, "model_info": {"model_type": "Y", "version": "8"}}),
        _event("motion", MOTION),
        _event("anpr", ANPR, camera_id="camera-02"),
    ]
    fill(old_url, "events", EVENT_COLUMNS, given)
    status, out, _ = run(old_url)
    assert (status, out) == (0, "events: 3 rows = 3 stored + 0 refused; agrees\n")
    with _api(database_url) as get:
        assert sorted(one["id"] for one in get("/api/events")["events"]) == [1, 2, 3]
        found = get("/api/events/1")
        assert get(f"/api/events/{found['event_id']}") == found
        counts = get("/api/events/stats")["events_by_type"]
        assert get("/api/plates")["plates"][0]["id"] == 3
    assert found["timestamp"] == "2024-03-15T12:00:00.123456Z"
    assert found["created_at"] == "2024-03-15T12:00:01.123456Z"
    assert found["frame_number"] == 7
    assert TRACKING.items() <= found["event_data"].items()
    assert UUID(found["event_id"]).version == 7
    assert counts == {"anpr": 1, "detection": 0, "motion": 1, "tracking": 1}
    assert run(old_url, "--again")[0] == 0
    assert rows(database_url, "SELECT count(*), count(DISTINCT event_id), max(id) FROM events") == [(3, 3, 3)]
    assert rows(database_url, "SELECT nextval('events_id_seq') > 3") == [(True,)]
    assert rows(database_url, "SELECT count(*) FROM event_odd_times") == [(0,)]
    with psycopg.connect(old_url) as connection:
        assert connection.execute("SELECT count(*), max(xmin::text) = min(xmin::text) FROM events").fetchone() == (
            3,
            True,
        )


@contextmanager
def _api(url: str, snapshots: SnapshotStore | None = None) -> Generator[Callable[[str], Any]]:
    """Yield a function that gets a path of the API: the JSON, or the bytes of an image."""
    handler, dependencies = lambda_api(url, snapshots=snapshots)

    def get(path: str) -> Any:
        answer = ApiCalls(handler).get(path)
        assert answer.status == 200, answer.body
        return answer.json() if answer.headers["content-type"] == "application/json" else answer.body

    yield get
    handler.close()
    dependencies.close()


ODD_EVENTS = [
    (_event("motion", MOTION, camera_id=None), "camera_id is NULL"),
    (_event(None, MOTION), "event_type is NULL"),  # type: ignore[arg-type]
    (_event("audio", MOTION), "event_type 'audio'"),
    (_event("motion", MOTION, timestamp=None), "timestamp is NULL"),
    (_event("motion", MOTION, timestamp="infinity"), "timestamp is not a time"),
    (_event("motion", MOTION, timestamp="0044-03-15 12:00:00 BC"), "timestamp is not a time"),
    (_event("motion", MOTION, timestamp="1969-12-31 23:59:59"), "before 1970"),
    (_event("motion", MOTION, timestamp="2999-01-01"), "later than the limit"),
    (_event("motion", None), "event_data is not a JSON object"),
    (_event("motion", "[1, 2]"), "event_data is not a JSON object"),
    (_event("motion", '"words"'), "event_data is not a JSON object"),
    (_event("motion", '{"motion_intensity": 7}'), "motion_intensity"),
    (_event("motion", '{"note": "\\u0000"}'), "NUL"),
    (_event("tracking", {"track_id": 1}), "tracking_action"),
    (_event("tracking", TRACKING | {"bounding_box": [10, 20, 30, 40]}), "bounding_box"),
    (_event("anpr", {"anpr_result": {"license_plate": "--", "confidence": 0.5}}), "plate_normalized"),
    (_event("motion", MOTION | {"note": "x" * 140_000}), "too_large"),
]
TAKEN_EVENTS = [
    _event("motion", {}, frame_number=None, created_at=None),
    _event("MOTION", MOTION, frame_number=-1),
    _event("motion", MOTION),  # twice the same
    _event("motion", MOTION),
    _event("motion", json.dumps(json.dumps(MOTION))),
    _event("anpr", {"license_plate": "ABC123", "confidence": 0.5}),
    _event("detection", {"class_name": "car", "confidence": 0.5, "bounding_box": TRACKING["bounding_box"]}),
    _event("tracking", TRACKING, camera_id="Front Door"),
    _event("tracking", TRACKING, camera_id="Front-Door"),
    _event("motion", MOTION | {"note": 'quotes " \\ and \t tabs, ümläute'}),
]


def test_odd_rows_are_taken_or_named_with_the_reason(run: Run, old_url: str, database_url: str) -> None:
    """NULLs, impossible times, JSON that is no object, values outside their range: each refused row is listed."""
    make(old_url, old_systems.EVENT_RECORDS)
    fill(old_url, "events", EVENT_COLUMNS, [*(row for row, _ in ODD_EVENTS), *TAKEN_EVENTS])
    status, out, _ = run(old_url)
    assert f"events: {len(ODD_EVENTS) + len(TAKEN_EVENTS)} rows = {len(TAKEN_EVENTS)} stored" in out
    for number, (_, reason) in enumerate(ODD_EVENTS, start=1):
        [line] = re.findall(rf"^  refused events {number}: (.*)$", out, re.MULTILINE)
        assert reason in line
    assert status == 0
    assert "camera 'Front Door' is now Front-Door-" in out
    first = len(ODD_EVENTS) + 1
    kept = rows(database_url, "SELECT id, event_data -> 'adopted' FROM events ORDER BY id")
    assert [number for number, _ in kept] == list(range(first, first + len(TAKEN_EVENTS)))
    assert kept[0][1] == {"id": first, "filled": ["affected_area_percentage", "motion_intensity"]}
    cameras = {name for (name,) in rows(database_url, "SELECT DISTINCT camera_id FROM events")}
    assert len(cameras) == 3
    again, out_again, _ = run(old_url)
    assert (again, out_again) == (0, out)


def test_a_row_that_was_repaired_is_taken_by_the_next_full_run(run: Run, old_url: str, database_url: str) -> None:
    """It is no longer listed as refused then."""
    make(old_url, old_systems.EVENT_RECORDS)
    fill(old_url, "events", EVENT_COLUMNS, [_event("audio", MOTION)])
    assert "1 refused" in run(old_url)[1]
    with psycopg.connect(old_url) as connection:
        connection.execute("UPDATE events SET event_type = 'motion'")
    assert run(old_url, "--again")[1] == "events: 1 rows = 1 stored + 0 refused; agrees\n"


def test_plate_reads_keep_their_event_id(run: Run, old_url: str, database_url: str) -> None:
    """Every documented column comes back from the API; a repeated id with another time is named."""
    make(old_url, old_systems.PLATE_EVENTS)
    first, second = uuid4(), uuid4()
    moment = datetime(2024, 3, 15, 14, 0, tzinfo=UTC)
    more = f"{PLATE_COLUMNS}, site_id, host_id, roi, direction, latency_ms, vehicle_color, frame_image_url, created_at"
    fill(old_url, "plate_events", more, [
        (first, moment, "camera-01", "t1", "ABC 123", "ABC123", 0.9, "US-FL", "north", "box 1", "lane", "in", 45, "red",
         "https://images.example/1.jpg", moment),
    ])  # fmt: skip
    fill(old_url, "plate_events", PLATE_COLUMNS, [
        (first, moment + timedelta(hours=1), "camera-01", "t1", "ABC 123", "ABC123", 0.9, "US-FL"),
        (second, moment, "cam 2", "", "XYZ", "XYZ", 0.5, ""),
        (uuid4(), moment, "camera-01", "t", "QQ1", "QQ1", 1.5, "x"),
        (uuid4(), moment, "camera-01", "t", "QQ1", "QQ1", "NaN", "x"),
        (uuid4(), moment, "camera-01", "t", "", "", 0.5, "x"),
        (uuid4(), "infinity", "camera-01", "t", "QQ1", "QQ1", 0.5, "x"),
    ])  # fmt: skip
    status, out, _ = run(old_url)
    assert status == 0
    assert "plate_events: 7 rows = 2 stored + 5 refused; agrees" in out
    assert out.count("plate_confidence") == 2
    assert "event_id_taken" in out
    with _api(database_url) as get:
        read = get(f"/events/{first}")
        assert get(f"/events/{second}")["camera_id"] == "cam-2"
    assert (read["plate_text"], read["site_id"], read["host_id"], read["direction"]) == (
        "ABC 123",
        "north",
        "box 1",
        "in",
    )
    assert (read["captured_at"], read["created_at"]) == ("2024-03-15T14:00:00.000000Z",) * 2
    assert (read["track_id"], read["latency_ms"], read["vehicle_color"]) == ("t1", 45, "red")
    assert read["frame_image_url"] == "https://images.example/1.jpg"


def test_pictures_become_snapshots(
    run: Run, old_url: str, database_url: str, bucket: dict[str, str], tmp_path: Path
) -> None:
    """A documented path is kept, any other gets a key of its own; a run without the folder is made up for later.

    Files that are missing, no image or outside the folder cost the picture, not the event.
    """
    make(old_url, old_systems.PUBLISHED_EVENTS)
    documented = "camera-1/2024-03-15/motion_120000_123456.png"
    paths = [
        documented, "snapshots/2024-03-15/camera-1/motion_1.png", "/app/snapshots/2024-03-15/camera-1/motion_2.png",
        "gone.png", "notes.png", "../outside.png", None,
    ]  # fmt: skip
    fill(old_url, "events", EVENT_COLUMNS, [_event("motion", MOTION, snapshot_path=path) for path in paths])
    folder = tmp_path / "app" / "snapshots"
    for path, data in {
        documented: png(shade=1),
        "2024-03-15/camera-1/motion_1.png": png(8, 5, shade=2),
        "2024-03-15/camera-1/motion_2.png": png(shade=3),
        "notes.png": b"not an image",
        "../outside.png": png(shade=4),
    }.items():
        save(folder, path, data)
    assert run(old_url)[0] == 0
    status, out, _ = run(old_url, "--snapshots", str(folder), **bucket)
    assert status == 0
    assert "pictures: 3 copied, 3 not found" in out
    with _api(database_url, S3SnapshotStore(bucket=BUCKET, aws=AwsClients())) as get:
        assert get("/api/events/1")["snapshot_path"] == documented
        pictures = [get(f"/api/events/{number}/snapshot") for number in (1, 2, 3)]
        assert pictures == [png(shade=1), png(8, 5, shade=2), png(shade=3)]
        assert get("/api/events/2/thumbnail").startswith(b"\xff\xd8")
        assert [get(f"/api/events/{number}")["snapshot_path"] for number in (4, 5, 6, 7)] == [None] * 4
    [(size,)] = rows(database_url, "SELECT snapshot -> 'width' FROM events WHERE id = 2")
    assert size == 8
    assert run(old_url, "--snapshots", str(folder), **bucket)[1].startswith("events: 7 rows = 7 stored + 0 refused")


def test_a_run_that_was_killed_continues(old_url: str, database_url: str) -> None:
    """``kill -9`` in the middle: the next run begins where the first ended, and each row is there once."""
    make(old_url, old_systems.PUBLISHED_EVENTS)
    count = 4000
    with psycopg.connect(old_url) as connection:
        connection.execute(
            f"INSERT INTO events ({EVENT_COLUMNS}) SELECT 'motion', 'camera-' || mod(n, 5), timestamp '2024-03-15'"
            " + n * interval '1 minute', n, NULL, %s, now() FROM generate_series(1, %s) AS n",
            [json.dumps(MOTION), count],
        )
    command = [sys.executable, "-m", "infra.admin.cli", "adopt", old_url]
    environment = {**os.environ, "DATABASE_URL": database_url}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(
        lambda: rows(database_url, "SELECT position[1]::int >= 500 FROM adoptions") == [(True,)],
        what="the first batches are copied",
    )
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=20)
    [(copied,)] = rows(database_url, "SELECT position[1]::int FROM adoptions")
    assert 500 <= copied < count, "the run ended before it was killed: raise the count"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"events: {count:,} rows = {count:,} stored + 0 refused; agrees\n")
    [first_shown] = re.findall(r"\Acopying events: [0-9]+%, ([0-9,]+) of", done.stderr)
    assert int(first_shown.replace(",", "")) > copied
    assert rows(database_url, "SELECT count(*), count(DISTINCT id), min(id), max(id) FROM events") == [
        (count, count, 1, count)
    ]
    assert rows(database_url, "SELECT sum(events) FROM event_counts") == [(count,)]


def test_rows_that_vanished_from_our_database_are_noticed(run: Run, old_url: str, database_url: str) -> None:
    """The counts do not agree, the exit status is 1, and ``--again`` copies what is missing."""
    make(old_url, old_systems.PUBLISHED_EVENTS)
    fill(old_url, "events", EVENT_COLUMNS, [_event("motion", MOTION), _event("anpr", ANPR)])
    assert run(old_url)[0] == 0
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM events WHERE id = 2")
    status, out, err = run(old_url)
    assert status == 1
    assert "DOES NOT AGREE (1 missing)" in out
    assert "  missing events 2\n" in out
    assert "run the command again with --again" in err
    assert run(old_url, "--again")[0] == 0


def test_ids_that_are_taken_are_replaced(run: Run, old_url: str, postgres: PostgresFixture, database_url: str) -> None:
    """Events of a second system keep their data and get new ids, and the report says how many."""
    other_url = postgres.server.url_of(postgres.new_database(migrated=False))
    for url, camera in ((old_url, "north"), (other_url, "south")):
        make(url, old_systems.PUBLISHED_EVENTS)
        fill(url, "events", EVENT_COLUMNS, [_event("motion", MOTION, camera_id=camera)] * 2)
    assert run(old_url)[0] == 0
    status, out, _ = run(other_url)
    assert status == 0
    assert "events: 2 have a new id" in out
    kept = rows(database_url, "SELECT camera_id, id, event_data #>> '{adopted,id}' FROM events ORDER BY id")
    assert kept[:2] == [("north", 1, "1"), ("north", 2, "2")]
    assert [(camera, number) for camera, _, number in kept[2:]] == [("south", "1"), ("south", "2")]
    assert kept[2][1] > 2


def test_old_and_new_tables_may_be_in_one_database(run: Run, old_url: str) -> None:
    """Vedette's tables are in a schema of their own then; without one, the migration names the command."""
    make(old_url, old_systems.PUBLISHED_EVENTS + old_systems.PLATE_EVENTS + old_systems.CAMERAS)
    fill(old_url, "events", EVENT_COLUMNS, [_event("motion", MOTION)])
    variables = {"DATABASE_URL": old_url}
    with pytest.MonkeyPatch.context() as patch:
        err = io.StringIO()
        patch.setattr("sys.stderr", err)
        assert main(["migrate", "up"], variables=variables) == 2
    assert "vedette-admin adopt" in err.getvalue()
    with psycopg.connect(old_url) as connection:
        connection.execute("CREATE SCHEMA ours")
    only_ours = f"{old_url}{'&' if '?' in old_url else '?'}options=-csearch_path%3Dours"
    assert run(old_url, url=only_ours)[0] == 2
    assert main(["migrate", "up"], variables={"DATABASE_URL": only_ours}) == 0
    status, out, err = run(old_url, url=only_ours)
    assert status == 0, err
    assert "events: 1 rows = 1 stored + 0 refused; agrees" in out
    assert "not copied: table cameras, 0 rows" in out
    assert rows(only_ours, "SELECT count(*) FROM ours.events") == [(1,)]
    assert rows(old_url, "SELECT count(*) FROM public.events") == [(1,)]


def test_a_user_that_may_not_read_a_table_is_named_first(run: Run, old_url: str, database_url: str) -> None:
    """Before an hour of copying ends at the second table; the password is not printed."""
    make(old_url, old_systems.PUBLISHED_EVENTS + old_systems.PLATE_EVENTS + old_systems.CAMERAS)
    fill(old_url, "events", EVENT_COLUMNS, [_event("motion", MOTION)])
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE half LOGIN PASSWORD 'hunter2'")
        connection.execute("GRANT SELECT ON events TO half")
    parts = urlsplit(old_url)
    half_url = parts._replace(netloc=f"half:hunter2@{parts.hostname}:{parts.port}").geturl()
    status, _, err = run(half_url)
    assert (status, "hunter2" in err) == (2, False)
    assert "may not read plate_events.event_id, " in err
    assert rows(database_url, "SELECT count(*) FROM events") == [(0,)]
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("GRANT SELECT ON plate_events TO half")
    assert run(half_url)[0] == 0
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY half")
        connection.execute("DROP ROLE half")


def test_a_database_that_cannot_be_adopted_is_named(run: Run, old_url: str, database_url: str) -> None:
    """Without the tables, of Vedette itself, unreachable, or no address at all; a password is never printed."""
    assert "no table events or plate_events" in run(old_url)[2]
    assert "is one of Vedette" in run(database_url)[2]
    status, _, err = run("postgresql://me:hunter2@127.0.0.1:1/old")
    assert (status, "cannot be reached" in err, "hunter2" in err) == (1, True, False)
    status, _, err = run("postgresql//hunter2")
    assert (status, "not a PostgreSQL connection string" in err, "hunter2" in err) == (2, True, False)
    make(old_url, old_systems.EVENT_RECORDS)
    assert "SNAPSHOT_BUCKET" in run(old_url, "--snapshots", "/tmp")[2]
    assert "--site must be" in run(old_url, "--site", "a b")[2]
