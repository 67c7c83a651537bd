"""Alembic's entry point: one transaction, under a lock that prevents two deployments from migrating at the same time.

The lock is bound to the transaction, not to the session, so that a pooler cannot pass a server connection with the lock
to another client. ``cloud_functions.db.migrate`` requests one revision at a time. Each migration is therefore a
separate transaction, and a process that has waited sees the result of the previous one.

The connection string comes from ``cloud_functions.db.migrate``, or from ``DATABASE_URL`` if Alembic is run directly.
psycopg receives it unchanged, so that migrations connect in the same way as the functions.
"""

from __future__ import annotations

import os

import psycopg
from alembic import command, context
from alembic.util import CommandError
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from cloud_functions.db.connect import connect_to, database_error
from cloud_functions.db.migrate import require_no_foreign_tables
from cloud_functions.db.migration_lock import STATEMENT_TIMEOUT_S, begin_migration
from shared.errors import ConfigurationError, VedetteError


def run() -> None:
    url = _database_url()
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect_to(url, application_name="vedette-migrate", autocommit=False),
        poolclass=NullPool,
    )
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            begin_migration(
                connection.connection.driver_connection,
                statement_timeout_s=context.config.attributes.get("statement_timeout_s", STATEMENT_TIMEOUT_S),
            )
            context.run_migrations()


def run_directly() -> None:
    """Run, and raise what fails as the error that Alembic prints in one line."""
    try:
        if (options := context.config.cmd_opts) is not None and options.cmd[0] is command.upgrade:
            require_no_foreign_tables(_database_url())
        run()
    except VedetteError as error:
        raise CommandError(str(error)) from error
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise CommandError(str(database_error(cause) if isinstance(cause, psycopg.Error) else cause)) from error


def _database_url() -> str:
    url = context.config.attributes.get("database_url") or os.environ.get("DATABASE_URL")
    if not url:
        raise ConfigurationError("DATABASE_URL is not set: set it to the database to migrate")
    return url


if "database_url" in context.config.attributes:
    run()
else:
    run_directly()
