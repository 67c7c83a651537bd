"""The limit of each camera's published events, in PostgreSQL, over several environments of ingest."""

from __future__ import annotations

import json
import logging
from contextlib import AbstractContextManager
from typing import Final

import psycopg
import pytest

from tests.support.ingest_harness import IngestHarness, open_ingest
from tests.support.wire_events import anpr_data, batch, motion_data, tracking_data, wire_event


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


SLOW: Final = {"FANOUT_EVENTS_PER_S": "0.001", "FANOUT_BURST": "3"}


def limited(url: str) -> AbstractContextManager[IngestHarness]:
    return open_ingest(url, clock=None, **SLOW)


def test_repetitive_events_are_suppressed_and_stored(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each camera has its own limit, which all environments share; what begins, ends or identifies is published."""
    caplog.set_level(logging.WARNING)
    storm = [wire_event("motion", event_data=motion_data()) for _ in range(4)]
    storm += [wire_event(event_data=tracking_data(tracking_action="updated")) for _ in range(4)]
    kept = [wire_event(event_data=tracking_data(tracking_action=action)) for action in ("entered", "left")]
    kept += [wire_event("anpr", event_data=anpr_data()), wire_event("rule")]
    with limited(database_url) as ingest, limited(database_url) as other:
        assert ingest.handle(batch([*storm, *kept])) == {"batchItemFailures": []}
        published = [document["event_type"] for document in ingest.publisher.documents()]
        assert sorted(published) == sorted(["motion"] * 3 + ["tracking"] * 2 + ["anpr", "rule"])
        assert ingest.metrics.counts["EventsSuppressed"] == 5
        assert ingest.rows("SELECT count(*) FROM events") == [(12,)]
        other.handle(batch([wire_event("motion", event_data=motion_data())]))
        assert other.publisher.documents() == []
        other.handle(batch([wire_event("motion", camera_id="camera-2", event_data=motion_data())]))
        assert [document["camera_id"] for document in other.publisher.documents()] == ["camera-2"]
        execute(database_url, "UPDATE fanout_rates SET refilled_at = now() - interval '2000 seconds'")
        other.handle(batch([wire_event("motion", event_data=motion_data()) for _ in range(5)]))
        assert len(other.publisher.documents()) == 1 + 2
        execute(database_url, "ALTER TABLE fanout_rates RENAME TO away")
        assert ingest.handle(batch([wire_event("motion", event_data=motion_data())])) == {"batchItemFailures": []}
        assert len(ingest.publisher.documents()) == len(published) + 1
    assert "5 events of 1 cameras were stored but not published" in caplog.text


def test_without_the_setting_nothing_is_suppressed(database_url: str) -> None:
    """No row is written either."""
    with open_ingest(database_url) as ingest:
        ingest.handle(batch([wire_event("motion", event_data=motion_data()) for _ in range(200)]))
        assert len(ingest.publisher.documents()) == 200
        assert ingest.rows("SELECT count(*) FROM fanout_rates") == [(0,)]


def test_large_events_are_published_compressed(database_url: str) -> None:
    """Ingest passes its setting on."""
    with open_ingest(database_url, COMPRESS_ABOVE_BYTES="4096") as ingest:
        ingest.handle(batch([wire_event("motion", event_data=motion_data(note="n" * 9000))]))
        [one] = ingest.publisher.published
        assert one.attributes["content_encoding"] == "gzip+base64"
        with pytest.raises(json.JSONDecodeError):
            json.loads(one.document)
