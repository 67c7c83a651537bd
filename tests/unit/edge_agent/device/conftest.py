"""A device that executes commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.edge.command_harness import CommandHarness


@pytest.fixture
def device() -> Iterator[CommandHarness]:
    harness = CommandHarness()
    yield harness
    harness.dispatcher.close()
