"""Runs queries for the API: one connection per thread, one transaction per query, with a statement timeout."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg

from cloud_functions.api.backends.thread_pool import ThreadPool
from cloud_functions.api.http.problems import Problem
from cloud_functions.db.connect import Database
from cloud_functions.db.types import Connection
from shared.errors import TransientError

Result = TypeVar("Result")
_CANCEL_TIMEOUT_S = 5.0


class _CancellableQuery:
    """One query that another thread can cancel while it runs, but not later: the connection is then reused."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._is_cancelled = False

    @contextmanager
    def on(self, connection: Connection) -> Generator[None]:
        """Make ``connection`` cancellable during the block; raise TransientError if ``cancel`` was called before."""
        with self._lock:
            if self._is_cancelled:
                raise TransientError("the client disconnected before its query started")
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:
                self._connection = None

    def cancel(self) -> None:
        """Cancel the query, whether it is running or has not started."""
        with self._lock:
            self._is_cancelled = True
            if self._connection is not None:
                with suppress(psycopg.Error):
                    self._connection.cancel_safe(timeout=_CANCEL_TIMEOUT_S)


class ApiDatabase:
    """Runs queries on the thread pool. A query is a function that takes a connection."""

    def __init__(
        self,
        *,
        make_database: Callable[[], Database],
        thread_pool: ThreadPool,
        commit_hook: Callable[[], Callable[[Connection], None] | None] = lambda: None,
    ) -> None:
        """``make_database`` is called once per thread, so the number of threads limits the number of connections.

        ``commit_hook`` is called in the task that runs a query. What it returns is called before the commit.
        """
        self._make_database = make_database
        self._thread_pool = thread_pool
        self._commit_hook = commit_hook
        self._thread_local = threading.local()
        self._databases: list[Database] = []
        self._lock = threading.Lock()

    async def run(self, query: Callable[[Connection], Result]) -> Result:
        """Return what ``query`` returns, its transaction committed.

        Raises:
            Problem: 503, the query took longer than the statement timeout.
            TransientError: the database is temporarily unavailable.

        If the calling task is cancelled, the query is cancelled in the database.
        """
        cancellable, before_commit = _CancellableQuery(), self._commit_hook()
        try:
            return await self._thread_pool.run(lambda: self._run(query, cancellable, before_commit))
        except asyncio.CancelledError:
            # Cancelling makes a network request, which must not block the event loop.
            threading.Thread(target=cancellable.cancel, name="api-cancel", daemon=True).start()
            raise

    def close(self) -> None:
        """Close all connections. Close the thread pool first."""
        with self._lock:
            while self._databases:
                self._databases.pop().close()

    def _run(
        self,
        query: Callable[[Connection], Result],
        cancellable: _CancellableQuery,
        before_commit: Callable[[Connection], None] | None,
    ) -> Result:
        try:
            with self._database_of_thread().transaction() as connection, cancellable.on(connection):
                result = query(connection)
                if before_commit is not None:
                    before_commit(connection)
                return result
        except TransientError as error:
            if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                detail = "The query took too long. Narrow it: one camera, one event type or a shorter time range."
                raise Problem(503, "too-slow", detail) from error
            raise

    def _database_of_thread(self) -> Database:
        database: Database | None = getattr(self._thread_local, "database", None)
        if database is None:
            database = self._thread_local.database = self._make_database()
            with self._lock:
                self._databases.append(database)
        return database
