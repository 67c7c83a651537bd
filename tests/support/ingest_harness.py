"""Ingest on a real database, with fakes that record what it publishes, dead-letters and commands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from cloud_functions.db.connect import Database, connector
from cloud_functions.ingest.handler import build_ingest
from cloud_functions.ingest.ingest import Ingest
from cloud_functions.ingest.publish import Publication
from cloud_functions.ingest.sources.messages import Rejection
from cloud_functions.observability import InMemoryMetrics
from cloud_functions.settings import DatabaseSettings
from shared.clock import Clock
from shared.errors import TransientError


@dataclass
class RecordingPublisher:
    """Records publications; reports the event ids in ``refusing`` as failed."""

    published: list[Publication] = field(default_factory=list)
    refusing: set[str] = field(default_factory=set)

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        self.published += [one for one in publications if one.event_id not in self.refusing]
        return {one.event_id for one in publications} & self.refusing

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(one.document) for one in self.published]


@dataclass
class RecordingDeadLetters:
    """Records dead letters; fails for all of them while ``unavailable``."""

    sent: list[Rejection] = field(default_factory=list)
    unavailable: bool = False

    def send(self, rejections: Sequence[Rejection]) -> set[str]:
        if self.unavailable:
            return {one.message_id for one in rejections}
        self.sent += rejections
        return set()

    def reasons(self) -> list[str]:
        return [one.reason for one in self.sent]


@dataclass
class RecordingCommands:
    """Records published commands; raises TransientError while ``unavailable``."""

    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    unavailable: bool = False

    def publish(self, topic: str, payload: bytes) -> None:
        if self.unavailable:
            raise TransientError("the broker is unavailable")
        self.sent.append((topic, json.loads(payload)))

    def ranges(self) -> list[list[list[int]]]:
        return [command["ranges"] for _, command in self.sent]


class IngestHarness:
    """Ingest with recording collaborators and queries against its database."""

    def __init__(self, url: str, *, clock: Clock | None = None, **variables: str) -> None:
        self.url = url
        self.publisher = RecordingPublisher()
        self.dead_letters = RecordingDeadLetters()
        self.commands = RecordingCommands()
        self.metrics = InMemoryMetrics()
        self.database = open_database(url)
        self.ingest: Ingest = build_ingest(
            {"DATABASE_URL": url} | variables,
            database=self.database,
            publisher=self.publisher,
            dead_letters=self.dead_letters,
            commands=self.commands,
            metrics=self.metrics,
            clock=clock,
        )

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        return self.ingest.handle(event)

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return rows(self.url, query, parameters)

    def close(self) -> None:
        self.database.close()


@contextmanager
def open_ingest(url: str, *, clock: Clock | None = None, **variables: str) -> Iterator[IngestHarness]:
    """Yield an ingest harness on this database and close its connection afterwards."""
    harness = IngestHarness(url, clock=clock, **variables)
    try:
        yield harness
    finally:
        harness.close()


def open_database(url: str) -> Database:
    return Database(connect=connector(DatabaseSettings(url=url)), statement_timeout_ms=20_000)


def rows(url: str, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a query on a new connection without JIT, which PostgreSQL would otherwise use even for a small recount."""
    with psycopg.connect(url, autocommit=True, options="-c jit=off") as connection:
        return connection.execute(query, parameters).fetchall()  # pyright: ignore


RECOUNT = """
WITH hours AS (
    SELECT date_trunc('hour', timestamp, 'UTC') AS hour, camera_id, event_type, site_id, count(*) AS events,
           array_agg(confidence) AS scores
    FROM events GROUP BY 1, 2, 3, 4
), labels AS (
    SELECT DISTINCT id, kind, label, date_trunc('hour', timestamp, 'UTC') AS hour, camera_id, event_type, site_id,
           CASE event_type WHEN 'detection' THEN (
               SELECT max(found::double precision) FROM jsonb_path_query(
                   event_data, '$.detections[*] ? (@.class_name == $name).confidence', jsonb_build_object('name', label)
               ) AS found
           ) ELSE confidence END AS score
    FROM events, LATERAL (
        SELECT 'class', jsonb_array_elements_text(class_names) UNION SELECT 'zone', jsonb_array_elements_text(zones)
        UNION SELECT 'class', event_data ->> 'class_name' WHERE event_type = 'rule'
        UNION SELECT 'zone', event_data ->> 'zone' WHERE event_type = 'rule'
    ) AS l (kind, label) WHERE label IS NOT NULL
), label_hours AS (
    SELECT kind, label, hour, camera_id, event_type, site_id, count(*) AS events, array_agg(score) AS scores
    FROM labels GROUP BY 1, 2, 3, 4, 5, 6
), grouped AS (
    SELECT 'hour' AS what, '' AS kind, '' AS label, hour AS at, camera_id, event_type, site_id, events, scores
    FROM hours
    UNION ALL SELECT 'day', '', '', date_trunc('day', timestamp, 'UTC'), camera_id, event_type, site_id, count(*),
                     array_agg(confidence)
    FROM events GROUP BY 4, 5, 6, 7
    UNION ALL SELECT 'month', '', '', date_trunc('month', timestamp, 'UTC'), camera_id, event_type, site_id, count(*),
                     array_agg(confidence)
    FROM events GROUP BY 4, 5, 6, 7
    UNION ALL SELECT 'hour', kind, label, hour, camera_id, event_type, site_id, events, scores FROM label_hours
    UNION ALL SELECT 'day', kind, label, date_trunc('day', hour, 'UTC'), camera_id, event_type, site_id, count(*),
                     array_agg(score)
    FROM labels GROUP BY 2, 3, 4, 5, 6, 7
    UNION ALL SELECT 'month', kind, label, date_trunc('month', hour, 'UTC'), camera_id, event_type, site_id, count(*),
                     array_agg(score)
    FROM labels GROUP BY 2, 3, 4, 5, 6, 7
), expected AS (
    SELECT what, kind, label, at, camera_id, event_type, site_id, events, (
        SELECT array_agg((SELECT count(*) FROM unnest(scores) AS s WHERE s >= step / 20.0::float8)::int ORDER BY step)
        FROM generate_series(0, 20) AS step WHERE num_nonnulls(VARIADIC scores) > 0
    ) AS at_least FROM grouped
), rows_kept AS (
    SELECT 'hour' AS what, '' AS kind, '' AS label, hour AS at, camera_id, event_type, site_id, events, at_least
    FROM event_counts
    UNION ALL SELECT 'day', '', '', day, camera_id, event_type, site_id, events, at_least FROM event_counts_daily
    UNION ALL SELECT 'month', '', '', month, camera_id, event_type, site_id, events, at_least FROM event_counts_monthly
    UNION ALL SELECT 'hour', kind, label, hour, camera_id, event_type, site_id, events, at_least
    FROM event_label_counts
    UNION ALL SELECT 'day', kind, label, day, camera_id, event_type, site_id, events, at_least
    FROM event_label_counts_daily
    UNION ALL SELECT 'month', kind, label, month, camera_id, event_type, site_id, events, at_least
    FROM event_label_counts_monthly
), kept AS (
    SELECT what, kind, label, at, camera_id, event_type, site_id, events,
           CASE WHEN at_least <> array_fill(0, '{21}') THEN at_least END AS at_least
    FROM rows_kept
)
(SELECT 'kept only', * FROM (SELECT * FROM kept WHERE events <> 0 EXCEPT SELECT * FROM expected) AS more)
UNION ALL
(SELECT 'counted only', * FROM (SELECT * FROM expected EXCEPT SELECT * FROM kept) AS less)
"""
"""Selects the rows in which the stored counts differ from a recount; no rows if the counts are exact."""
