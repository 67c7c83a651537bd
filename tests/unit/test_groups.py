"""Tests of one ``xdist_group`` run on one worker: pytest-xdist knows the group by the end of a test's id."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("one-worker")
def test_a_group_of_tests_is_known_to_the_workers(request: pytest.FixtureRequest) -> None:
    """Otherwise the end-to-end tests, which build on one another, would be spread over the workers."""
    if not hasattr(request.config, "workerinput"):
        pytest.skip("needs pytest-xdist: run with -n")
    assert request.node.nodeid.endswith("@one-worker")
