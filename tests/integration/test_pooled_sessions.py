"""Sessions behind a pooler in transaction mode: each transaction may use another server connection."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cloud_functions.api.app import create_app
from cloud_functions.api.backends.database import ApiDatabase
from cloud_functions.api.backends.thread_pool import InlineThreadPool
from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.handler import ApiHandler
from cloud_functions.api.http.limits import LAMBDA_LIMITS
from cloud_functions.api.security.permissions import AllowAll
from cloud_functions.api.security.plate_access import PlateAccess
from cloud_functions.db.connect import Database, connect_to
from cloud_functions.ingest.handler import build_ingest
from cloud_functions.observability import InMemoryMetrics
from shared.clock import SystemClock
from tests.support.api_calls import ApiCalls, FakeSnapshots, store, stored_event
from tests.support.ingest_harness import RecordingCommands, RecordingDeadLetters, RecordingPublisher, rows
from tests.support.wire_events import anpr_data, batch, failures, mixed_traffic, wire_event

SESSION = """
SELECT (SELECT count(*) FROM pg_prepared_statements),
       (SELECT count(*) FROM pg_cursors),
       (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
       (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),
       (SELECT count(*) FROM pg_listening_channels()),
       (SELECT count(*) FROM pg_settings WHERE source = 'session' AND name <> 'client_encoding')
"""
"""Session state that outlives a transaction, which a pooler would lose or expose to another client."""


@pytest.fixture
def sessions(database_url: str) -> Iterator[list[psycopg.Connection[Any]]]:
    """Four connections, opened with the product's own settings."""
    opened = [connect_to(database_url) for _ in range(4)]
    yield opened
    for connection in opened:
        connection.close()


class Pooled(Database):
    """A database whose transactions use the connections in turn."""

    def __init__(self, sessions: list[psycopg.Connection[Any]]) -> None:
        turns = itertools.cycle(sessions)
        super().__init__(connect=lambda: next(turns), statement_timeout_ms=20_000, idle_in_transaction_timeout_ms=9000)

    def _open(self) -> psycopg.Connection[Any]:
        self._connection = self._connect()
        return self._connection


def untouched(database_url: str) -> tuple[Any, ...]:
    """Return the state of a new session."""
    with connect_to(database_url) as connection:
        row = connection.execute(SESSION).fetchone()
    assert row is not None
    return row


def test_cloud_17_ingest_leaves_no_session_state(database_url: str, sessions: list[psycopg.Connection[Any]]) -> None:
    """After forty batches over four sessions, every event is stored and each session has its initial state."""
    events = [*mixed_traffic(400), *(wire_event("anpr", event_data=anpr_data(f"B {n} AB")) for n in range(10, 30))]
    ingest = build_ingest(
        {"DATABASE_URL": database_url},
        database=Pooled(sessions),
        publisher=RecordingPublisher(),
        dead_letters=RecordingDeadLetters(),
        commands=RecordingCommands(),
        metrics=InMemoryMetrics(),
    )
    for start in range(0, len(events), 10):
        assert failures(ingest.handle(batch(events[start : start + 10]))) == []
    assert rows(database_url, "SELECT count(DISTINCT event_id) FROM events") == [(len(events),)]
    assert [session.execute(SESSION).fetchone() for session in sessions] == [untouched(database_url)] * 4


def test_cloud_17_api_leaves_no_session_state(database_url: str, sessions: list[psycopg.Connection[Any]]) -> None:
    """Each kind of request runs more often than psycopg's threshold for prepared statements, then a deletion."""
    store(database_url, [stored_event("anpr", camera_id=f"camera-{n % 3}") for n in range(30)])
    database = ApiDatabase(make_database=lambda: Pooled(sessions), thread_pool=InlineThreadPool())
    dependencies = Dependencies(
        database=database,
        snapshots=FakeSnapshots(),
        authorizer=AllowAll(),
        probes=(),
        thread_pool=InlineThreadPool(),
        commands=RecordingCommands(),
        clock=SystemClock(),
        limits=LAMBDA_LIMITS,
        plate_access=PlateAccess(),
    )
    handler = ApiHandler(make_app=lambda: create_app(dependencies=dependencies))
    api = ApiCalls(handler)
    paths = ["/api/events", "/api/events/recent", "/api/events/stats", "/api/plates", "/api/plates/stats"]
    for _ in range(8 * len(sessions)):
        assert {api.get(path).status for path in paths} == {200}
    assert api.post("/api/events/delete", {"camera_id": "camera-1"}).status == 200
    assert [session.execute(SESSION).fetchone() for session in sessions] == [untouched(database_url)] * 4
    handler.close()
