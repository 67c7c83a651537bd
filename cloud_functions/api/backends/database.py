"""The API's way to PostgreSQL: one connection a worker thread, each query in one transaction with a time limit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg

from cloud_functions.api.backends.thread_pool import Workers
from cloud_functions.api.http.problems import Problem
from cloud_functions.db.connect import Database
from cloud_functions.db.types import Connection
from shared.errors import TransientError

Result = TypeVar("Result")
_CANCEL_TIMEOUT_S = 5.0


class _Running:
    """One query, which another thread may cancel while it runs, and only then: others use the connection after it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._is_abandoned = False

    @contextmanager
    def on(self, connection: Connection) -> Generator[None]:
        """Let ``cancel`` reach the connection during the block; raise TransientError where it was called before."""
        with self._lock:
            if self._is_abandoned:
                raise TransientError("the client that asked is gone")
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:
                self._connection = None

    def cancel(self) -> None:
        """Cancel the query if it runs, or before it begins."""
        with self._lock:
            self._is_abandoned = True
            if self._connection is not None:
                with suppress(psycopg.Error):
                    self._connection.cancel_safe(timeout=_CANCEL_TIMEOUT_S)


class ApiDatabase:
    """Runs queries, functions that take a connection, on the workers."""

    def __init__(self, *, make_database: Callable[[], Database], workers: Workers) -> None:
        """``make_database`` is called once a worker thread, so it is what bounds the connections."""
        self._make_database = make_database
        self._workers = workers
        self._of_this_thread = threading.local()
        self._made: list[Database] = []
        self._lock = threading.Lock()

    async def run(self, query: Callable[[Connection], Result]) -> Result:
        """Return what ``query`` returns, its transaction committed.

        Raises:
            Problem: 503, the question is too slow to answer.
            TransientError: the database is away for now.

        Where the caller is cancelled, the query is cancelled in the database.
        """
        running = _Running()
        try:
            return await self._workers.run(lambda: self._answer(query, running))
        except asyncio.CancelledError:
            # Nobody waits for the answer any more. Cancelling talks to the server, which the event loop must not.
            threading.Thread(target=running.cancel, name="api-cancel", daemon=True).start()
            raise

    def close(self) -> None:
        """Close every connection; the workers must have ended."""
        with self._lock:
            while self._made:
                self._made.pop().close()

    def _answer(self, query: Callable[[Connection], Result], running: _Running) -> Result:
        try:
            with self._database().transaction() as connection, running.on(connection):
                return query(connection)
        except TransientError as error:
            if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                detail = "This took too long to find; ask for less: one camera, one kind of event, a shorter time."
                raise Problem(503, "too-slow", detail) from error
            raise

    def _database(self) -> Database:
        database: Database | None = getattr(self._of_this_thread, "database", None)
        if database is None:
            database = self._of_this_thread.database = self._make_database()
            with self._lock:
                self._made.append(database)
        return database
