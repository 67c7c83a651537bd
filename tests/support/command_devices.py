"""Devices that answer the API's commands through ingest, on the same database and without a broker."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from tests.support.ingest_harness import RecordingCommands, open_ingest
from tests.support.wire_events import batch_of, body, encoded, failures

Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


class AnsweringDevice(RecordingCommands):
    """Answers each command with the fields that ``answer`` returns for it, ``after_s`` seconds later; None: never."""

    def __init__(self, url: str, answer: Answer, *, after_s: float = 0.0) -> None:
        super().__init__()
        self._url = url
        self._answer = answer
        self._after_s = after_s

    def publish(self, topic: str, payload: bytes) -> None:
        super().publish(topic, payload)
        command = json.loads(payload)
        fields = self._answer(command)
        if fields is None:
            return
        _, site_id, device_id, *_ = topic.split("/")
        reply = {"command": command["command"], "site_id": site_id, "device_id": device_id} | fields
        if self._after_s:
            threading.Timer(self._after_s, send_reply, [self._url, command["command_id"], reply]).start()
        else:
            send_reply(self._url, command["command_id"], reply)


def send_reply(url: str, command_id: str, fields: dict[str, Any]) -> None:
    """Let ingest record a reply."""
    reply = {
        "command_id": command_id,
        "command": "test_connection",
        "site_id": "hq",
        "device_id": "gate-01",
        "timestamp": "2026-11-20T12:00:00Z",
        "status": "ok",
    } | fields
    topic = f"vedette/{reply['site_id']}/{reply['device_id']}/replies/{command_id}"
    with open_ingest(url) as ingest:
        assert failures(ingest.handle(batch_of([body(topic, encoded(reply))]))) == []
        assert ingest.dead_letters.reasons() == []


def store_device(
    url: str, device_id: str = "gate-01", *, age_s: float = 0, status: str = "online", **heartbeat: Any
) -> None:
    """Store a device that was last seen ``age_s`` seconds ago, with these fields of its heartbeat."""
    seen_at = datetime.now(UTC) - timedelta(seconds=age_s)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO devices (device_id, site_id, status, status_at, last_seen_at, heartbeat, heartbeat_at)"
            " VALUES (%s, 'hq', %s, %s, %s, %s, %s)"
            " ON CONFLICT (device_id) DO UPDATE SET status = EXCLUDED.status, status_at = EXCLUDED.status_at,"
            " last_seen_at = EXCLUDED.last_seen_at, heartbeat = EXCLUDED.heartbeat,"
            " heartbeat_at = EXCLUDED.heartbeat_at",
            [device_id, status, seen_at, seen_at, json.dumps(heartbeat), seen_at],
        )
