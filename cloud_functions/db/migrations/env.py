"""Alembic's entry point: one transaction a migration, one migrating process at a time.

The connection string comes from ``cloud_functions.db.migrate`` (or ``DATABASE_URL`` where Alembic is run by hand) and
is given to psycopg as it is, so that migrations connect exactly as the functions do.
"""

from __future__ import annotations

import os

import psycopg
from alembic import context
from sqlalchemy import NullPool, create_engine

from shared.errors import ConfigurationError

_MIGRATION_LOCK = 0x7645_4454_5431
"""Key of the advisory lock that keeps two deployments from migrating at once."""


def run() -> None:
    url = context.config.attributes.get("database_url") or os.environ.get("DATABASE_URL")
    if not url:
        raise ConfigurationError("DATABASE_URL is not set: say which database to migrate")
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
        connection.commit()
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


run()
