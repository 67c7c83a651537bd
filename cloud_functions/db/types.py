"""Types that every module of SQL shares."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol, TypeVar

import psycopg

Row = tuple[Any, ...]
"""One row of a result, in the order of the select list."""

Connection = psycopg.Connection[Row]
"""An open connection; functions that take one run in the caller's transaction."""

Transaction = Callable[[], AbstractContextManager[Connection]]
"""Begins a transaction: committed at the end of the ``with`` block, rolled back when the block raises."""


Result = TypeVar("Result")


class QueryRunner(Protocol):
    """Runs queries for asynchronous callers, each in a transaction of its own; the API's ``ApiDatabase`` is one."""

    async def run(self, query: Callable[[Connection], Result]) -> Result:
        """Return what ``query`` returns, its transaction committed."""
        ...


class Position(Protocol):
    """A row's position in a list that is sorted newest first, by capture time and then by number."""

    @property
    def timestamp(self) -> datetime: ...
    @property
    def id(self) -> int: ...
