"""Fixtures of the detection tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.http_file_server import Web, serve


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server on loopback."""
    with serve() as web:
        yield web
