"""Alembic's entry point: one transaction, under a lock that prevents two deployments from migrating at the same time.

The lock is bound to the transaction, not to the session, so that a pooler cannot pass a server connection with the lock
to another client. ``cloud_functions.db.migrate`` requests one revision at a time. Each migration is therefore a
separate transaction, and a process that has waited sees the result of the previous one.

The connection string comes from ``cloud_functions.db.migrate``, or from ``DATABASE_URL`` if Alembic is run directly.
psycopg receives it unchanged, so that migrations connect in the same way as the functions.
"""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import NullPool, create_engine

from cloud_functions.db.connect import connect_to
from cloud_functions.db.migration_lock import begin_migration
from shared.errors import ConfigurationError


def run() -> None:
    url = context.config.attributes.get("database_url") or os.environ.get("DATABASE_URL")
    if not url:
        raise ConfigurationError("DATABASE_URL is not set: set it to the database to migrate")
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect_to(url, application_name="vedette-migrate", autocommit=False),
        poolclass=NullPool,
    )
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            begin_migration(connection.connection.driver_connection)
            context.run_migrations()


run()
