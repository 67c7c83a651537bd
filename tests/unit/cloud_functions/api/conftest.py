"""A client of an application without a database, for requests that are rejected before any query."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api_calls import ApiCalls, lambda_api


@pytest.fixture(scope="module")
def api() -> Iterator[ApiCalls]:
    """A client of an application whose database is unavailable."""
    handler, dependencies = lambda_api()
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()
