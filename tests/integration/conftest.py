"""Fixtures of several integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ingest_harness import IngestHarness
from tests.support.protected_sites import sealing_rig


@pytest.fixture
def sealing_ingest(database_url: str, tmp_path: Path) -> Iterator[IngestHarness]:
    """An ingest that has the master key of this test's folder."""
    with sealing_rig(database_url, tmp_path) as one:
        yield one
