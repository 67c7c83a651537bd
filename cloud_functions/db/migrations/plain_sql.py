"""Runs a migration's SQL unchanged: there are no bind parameters, so ``%`` and ``:`` are ordinary characters."""

from __future__ import annotations

from typing import LiteralString

from alembic import op


def run_sql(script: LiteralString) -> None:
    """Run one or more statements inside the migration's transaction."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None  # noqa: S101 - Alembic is never run offline here
    connection.execute(script)
