"""Fixtures that several integration tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ingest_harness import IngestHarness
from tests.support.protected_sites import open_sealing_ingest


@pytest.fixture
def sealing_ingest(database_url: str, tmp_path: Path) -> Iterator[IngestHarness]:
    """An ingest harness with the master key of this test's folder."""
    with open_sealing_ingest(database_url, tmp_path) as one:
        yield one
