"""A database whose transactions take their connections from a pool. No other module imports psycopg_pool."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from cloud_functions.db.connect import Database, connection_defaults, transaction_error
from shared.errors import ConfigurationError, TransientError

try:
    from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout
except ImportError as error:
    raise ConfigurationError("ALPR storage requires psycopg-pool: pip install 'vedette[kafka]'") from error

_WAIT_S: Final = 10.0
"""Maximum wait for a free connection, or for the server."""
_STATEMENT_TIMEOUT_MS: Final = 25_000
_IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 20_000
_CONNECTION: Final = {
    "autocommit": True,
    "prepare_threshold": None,
    **connection_defaults(application_name="vedette-alpr-storage"),
}


class PooledDatabase(Database):
    """A pool of connections. Thread-safe; connections are opened in the background and checked before use."""

    def __init__(self, conninfo: str, *, min_size: int, max_size: int) -> None:
        """Start the pool without waiting for the server. Raise ConfigurationError for invalid sizes."""
        try:
            self._pool = ConnectionPool(
                conninfo,
                kwargs=_CONNECTION,
                min_size=min_size,
                max_size=max_size,
                timeout=_WAIT_S,
                check=ConnectionPool.check_connection,
                name="alpr-storage",
                open=False,
            )
        except ValueError as error:
            raise ConfigurationError(f"the sizes of the connection pool are invalid: {error}") from None
        super().__init__(
            connect=self._pool.getconn,
            statement_timeout_ms=_STATEMENT_TIMEOUT_MS,
            idle_in_transaction_timeout_ms=_IDLE_IN_TRANSACTION_TIMEOUT_MS,
        )
        self._pool.open(wait=False)

    @contextmanager
    def transaction(self) -> Generator[psycopg.Connection[Any]]:
        """Run the block in one transaction on a connection of the pool; see ``Database.transaction``.

        Raises TransientError, too, if no connection is free within 10 seconds, or if the pool is closed.
        """
        try:
            with self._pool.connection() as connection:  # commits at the end of the block, or rolls back
                connection.execute(self._begin)
                yield connection
        except PoolTimeout:
            raise TransientError(f"no database connection was available within {_WAIT_S:g} s") from None
        except PoolClosed:
            raise TransientError("the connection pool is closed") from None
        except psycopg.Error as error:
            raise transaction_error(error) from error

    def close(self) -> None:
        """Close all connections. The pool cannot be used afterwards."""
        self._pool.close()
