"""Migrations that are killed, run concurrently, and go down and up with data in the tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloud_functions.db.migrate import current_revision, head_revision, upgrade
from tests.support.every_table import fill_every_table, walk_down
from tests.support.ingest_harness import RECOUNT, open_ingest, rows
from tests.support.plate_reads import plate_read
from tests.support.waiting import eventually
from tests.support.wire_events import batch, failures, mixed_traffic, rule_data, wire_event

ROOT = Path(__file__).parents[2]
MIGRATING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vedette-migrate' AND xact_start IS NOT NULL"
)
KEPT = [
    "SELECT id, event_id, site_id, camera_id, event_type, timestamp, event_data FROM events ORDER BY id",
    "SELECT id, event_id, plate_text, plate_normalized_text, confidence, captured_at FROM plate_events ORDER BY id",
]
"""Selects events and plate reads as users see them."""


def migration(url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cloud_functions.db.migrate", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kept(url: str) -> list[list[tuple[Any, ...]]]:
    return [rows(url, query) for query in KEPT]


@pytest.mark.parametrize("reached", [None, "0001", "0005", "0008", "0010"])
def test_cloud_30_killed_migration_is_completed_by_the_next(empty_url: str, reached: str | None) -> None:
    """After ``kill -9`` in a transaction, each revision is applied completely or not at all, and no lock remains."""
    if reached is not None:
        upgrade(empty_url, reached)
    process = migration(empty_url, "upgrade")
    eventually(lambda: rows(empty_url, MIGRATING) != [(0,)] or process.poll() is not None, within_s=60)
    process.kill()
    process.communicate()
    eventually(lambda: rows(empty_url, MIGRATING) == [(0,)], within_s=60)
    upgrade(empty_url)
    assert current_revision(empty_url) == head_revision()
    assert rows(empty_url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    with open_ingest(empty_url) as ingest:
        assert failures(ingest.handle(batch(mixed_traffic(20)))) == []
    assert rows(empty_url, RECOUNT) == []


def test_cloud_30_concurrent_processes_end_at_the_same_revision(empty_url: str) -> None:
    """Four processes upgrade, then four downgrade, to one revision or to none; all succeed in any order."""
    steps = [("upgrade", head_revision()), ("downgrade", "0003"), ("upgrade", head_revision()), ("downgrade", "base")]
    for step, target in steps:
        arguments, expected = (step, target), {"base": "empty"}.get(target, target)
        running = [migration(empty_url, *arguments) for _ in range(4)]
        results = [(process.communicate(timeout=120)[0].strip(), process.returncode) for process in running]
        assert results == [(expected, 0)] * 4


def store_events(url: str) -> None:
    events = [
        *mixed_traffic(60),
        *(plate_read(text, minute=at) for at, text in enumerate(["А123ВС77", "B 123 AB", "京A12345", "½ 7"])),
        wire_event("rule", event_data=rule_data(zone="yard", confidence=0.5)),
    ]
    with open_ingest(url) as ingest:
        assert failures(ingest.handle(batch(events))) == []


def test_cloud_30_every_table_survives_each_downgrade_and_upgrade(empty_url: str) -> None:
    """Each revision is left and reached again with rows in every table; at the end the counts are exact."""
    upgrade(empty_url)
    store_events(empty_url)
    fill_every_table(empty_url)
    before = kept(empty_url)
    assert before[1]
    walk_down(empty_url)
    assert current_revision(empty_url) == "0001"
    assert rows(empty_url, "SELECT count(*) FROM events") == [(len(before[0]),)]
    upgrade(empty_url)
    assert kept(empty_url) == before
    assert rows(empty_url, RECOUNT) == []
