"""With concurrent ingests and killed processes and servers, every event is stored once and counts are exact."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared.errors import TransientError
from tests.support.backing_services import PostgresFixture
from tests.support.ingest_harness import RECOUNT, open_ingest, rows
from tests.support.waiting import eventually
from tests.support.wire_events import batch, failures, mixed_traffic, sequence_of

ROOT = Path(__file__).resolve().parents[2]


def at_once(*works: Callable[[], None]) -> list[Exception]:
    """Run each function in its own thread and return the raised exceptions."""
    errors: list[Exception] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_cloud_25_concurrent_ingests_store_once_without_deadlock(database_url: str) -> None:
    """Six ingests store the same events in different orders while two others delete them."""
    events = mixed_traffic(600, cameras=6)
    published: set[str] = set()
    gone: list[int] = []
    done = threading.Event()

    def store(seed: int) -> None:
        mine = events.copy()
        random.Random(seed).shuffle(mine)
        with open_ingest(database_url, INGEST_CHUNK_SIZE="40") as ingest:
            for start in range(0, len(mine), 60):
                assert failures(ingest.handle(batch(mine[start : start + 60]))) == []
            published.update(one.event_id for one in ingest.publisher.published)
            assert ingest.dead_letters.sent == []

    def delete(parity: int) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not done.wait(0.01):
                deleted = connection.execute(
                    "DELETE FROM events WHERE event_id IN (SELECT event_id FROM events WHERE id %% 50 = %s)", [parity]
                )
                gone.append(deleted.rowcount)

    deleters = [threading.Thread(target=delete, args=[parity]) for parity in (7, 31)]
    for deleter in deleters:
        deleter.start()
    errors = at_once(*(lambda seed=seed: store(seed) for seed in range(6)))
    done.set()
    for deleter in deleters:
        deleter.join()
    assert errors == []
    assert published == {event["event_id"] for event in events}
    [(count, distinct)] = rows(database_url, "SELECT count(*), count(DISTINCT event_id) FROM events")
    assert count == distinct >= 600 - sum(gone)
    assert rows(database_url, RECOUNT) == []


CHILD = """
import json, os, sys
from cloud_functions.ingest.handler import build_ingest

class Publisher:
    def publish(self, publications):
        print("committed", flush=True)
        if os.environ["HANG"] == "yes":
            sys.stdin.read()
        return set()

ingest = build_ingest(publisher=Publisher())
print(json.dumps(ingest.handle(json.load(open(sys.argv[1])))), flush=True)
"""


def run_child(event_file: Path, url: str, *, hang: bool) -> subprocess.Popen[str]:
    environment = os.environ | {"DATABASE_URL": url, "HANG": "yes" if hang else "no"}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(event_file)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_kill_between_commit_and_publish_is_repaired_by_the_retry(database_url: str, tmp_path: Path) -> None:
    """Events that are stored but not published are published with the same ids when the queue delivers them again."""
    events = sequence_of(1, 20)
    event_file = tmp_path / "event.json"
    event_file.write_text(json.dumps(batch(events)))
    with run_child(event_file, database_url, hang=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "committed\n"
        child.send_signal(signal.SIGKILL)
    stored = dict(rows(database_url, "SELECT event_id::text, id FROM events"))
    assert len(stored) == 20
    with open_ingest(database_url) as ingest:
        assert failures(ingest.handle(json.loads(event_file.read_text()))) == []
        assert {document["event_id"]: document["id"] for document in ingest.publisher.documents()} == stored
    assert rows(database_url, "SELECT count(*) FROM events") == [(20,)]
    assert rows(database_url, RECOUNT) == []
    assert rows(database_url, "SELECT * FROM sequence_gaps") == []


def test_batches_are_returned_while_postgresql_is_killed(postgres: PostgresFixture, database_url: str) -> None:
    """Batches in flight are returned to the queue; after the server's restart every event is stored once."""
    events = mixed_traffic(2000)
    invocations = [batch(events[start : start + 200]) for start in range(0, 2000, 200)]
    returned = 0
    with open_ingest(database_url, INGEST_CHUNK_SIZE="20", DATABASE_CONNECT_TIMEOUT_S="2") as ingest:
        killer = threading.Timer(0.15, postgres.kill)
        killer.start()
        waiting: list[dict[str, Any]] = list(invocations)
        for _ in range(200):
            if not waiting:
                break
            event = waiting.pop(0)
            failed = set(failures(ingest.handle(event)))
            if failed:
                returned += len(failed)
                killer.join()
                postgres.start()
                waiting.append({"Records": [one for one in event["Records"] if one["messageId"] in failed]})
        killer.join()
    assert waiting == []
    assert returned > 0
    assert rows(database_url, "SELECT count(*), count(DISTINCT event_id) FROM events") == [(2000, 2000)]
    assert rows(database_url, RECOUNT) == []
    assert rows(database_url, "SELECT * FROM sequence_gaps WHERE state = 'open'") == []
    assert {published["event_id"] for published in ingest.publisher.documents()} == {
        event["event_id"] for event in events
    }


def test_an_unavailable_database_returns_the_whole_batch(database_url: str) -> None:
    """Only invalid messages become dead letters."""
    with open_ingest("postgresql://127.0.0.1:1/nowhere", INGEST_CHUNK_SIZE="3") as ingest:
        event = batch(sequence_of(1, 10))
        event["Records"][1]["body"] = "junk"
        good = [one["messageId"] for number, one in enumerate(event["Records"]) if number != 1]
        assert failures(ingest.handle(event)) == sorted(good)
        assert ingest.dead_letters.reasons() == ["bad_envelope"]
        first = event["Records"][0]
        text = first["body"].replace("/events/camera-1/tracking", "/heartbeat")
        heartbeat = {"Records": [first | {"body": text}]}
        assert failures(ingest.handle(heartbeat)) == [event["Records"][0]["messageId"]]


def test_a_database_without_schema_returns_the_whole_batch(postgres: PostgresFixture) -> None:
    """Deploying before migrating must not turn every event into a dead letter."""
    postgres.start()
    name = postgres.new_database(migrated=False)
    with open_ingest(postgres.server.url_of(name)) as ingest:
        event = batch(sequence_of(1, 3))
        assert len(failures(ingest.handle(event))) == 3
        assert ingest.dead_letters.sent == []
    postgres.server.drop_database(name)


def test_a_connection_lost_while_idle_is_opened_again(database_url: str) -> None:
    """The next batch of an execution environment is stored although the server closed the connection meanwhile."""
    with open_ingest(database_url) as ingest:
        ingest.handle(batch(sequence_of(1, 1)))
        ended = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        assert rows(database_url, ended) == [(1,)]
        others = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        eventually(lambda: rows(database_url, others) == [(0,)])
        assert failures(ingest.handle(batch(sequence_of(2, 2)))) == []
        assert ingest.rows("SELECT count(*) FROM events") == [(2,)]


def test_statements_have_a_timeout(database_url: str) -> None:
    """A lock of another session leads to a retry; the function does not hang until Lambda ends it."""
    from cloud_functions.db.connect import Database, connector
    from cloud_functions.settings import DatabaseSettings

    database = Database(connect=connector(DatabaseSettings(url=database_url)), statement_timeout_ms=200)
    with psycopg.connect(database_url) as holder:
        holder.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TransientError, match="57014"), database.transaction() as connection:
            connection.execute("SELECT count(*) FROM events")
    with database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)
    database.close()
