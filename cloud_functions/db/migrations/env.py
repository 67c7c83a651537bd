"""Alembic's entry point: one transaction, under the lock that keeps two deployments from migrating at once.

The lock belongs to the transaction, not to the session, so behind a pooler it is never left with a server connection
that somebody else gets next. ``cloud_functions.db.migrate`` asks for one revision at a time; so each migration is a
transaction of its own, and a process that waited sees what the previous one has done.

The connection string comes from there (or from ``DATABASE_URL`` where Alembic is run by hand) and is given to psycopg
as it is, so that migrations connect exactly as the functions do.
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
