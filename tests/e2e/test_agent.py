"""The edge agent with a camera: its events and snapshots reach the cloud, also after ``kill -9``."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest

from edge_agent.outbox import Outbox
from infra.local.demo.device import DEVICE_ID, StackUrls, agent_process
from tests.e2e.conftest import RunningStack

pytestmark = pytest.mark.xdist_group("stack")


def _rows(stack: RunningStack, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(stack["database"]) as connection:
        return connection.execute(query, (DEVICE_ID,)).fetchall()  # type: ignore[arg-type]


def test_agent_killed_stores_each_event_once(stack: RunningStack, tmp_path: Path) -> None:
    """Events in the outbox from before and after the agent was killed are stored once, with their snapshots."""
    urls = StackUrls(broker=stack["broker"], aws=stack["aws"])
    agent = agent_process(urls, folder=tmp_path, source="synthetic:gate", camera={"model": {"name": "none"}})
    entered = "SELECT id FROM events WHERE device_id = %s AND event_type = 'tracking' AND snapshot_path IS NOT NULL"
    agent.start()
    try:
        assert stack.until(lambda: len(_rows(stack, entered)) >= 1)
        agent.kill()
        before = len(_rows(stack, entered))
        agent.start()
        assert stack.until(lambda: len(_rows(stack, entered)) > before)
    finally:
        agent.stop()
    outbox = Outbox(tmp_path / "agent" / "outbox.db")
    last = outbox.health().last_sequence
    outbox.close()
    sequences = "SELECT sequence FROM events WHERE device_id = %s ORDER BY sequence"
    all_sequences = [(sequence,) for sequence in range(1, last + 1)]
    stack.until(lambda: _rows(stack, sequences) == all_sequences, timeout_s=30)
    assert _rows(stack, sequences) == all_sequences
    (event_id,) = _rows(stack, entered)[0]
    picture = f"{stack['api']}/api/events/{event_id}/snapshot"
    assert stack.until(lambda: _is_jpeg(picture), timeout_s=30)
    with urllib.request.urlopen(f"{stack['api']}/api/events/stats") as answer:
        assert json.loads(answer.read())["events_by_type"]["tracking"] >= before


def _is_jpeg(url: str) -> bool:
    try:
        with urllib.request.urlopen(url) as answer:
            return bool(answer.read(2) == b"\xff\xd8")
    except urllib.error.HTTPError as error:
        error.close()
        return False
