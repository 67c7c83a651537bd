"""The database that ``vedette-admin`` works on."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from cloud_functions.db.connect import connect_to, database_error
from cloud_functions.db.types import Connection
from infra.local.servers.postgres import DATABASE, cluster_url
from shared.errors import ConfigurationError


def database_url(variables: Mapping[str, str], *, state: Path | None) -> str:
    """Return the URL of the stack's database in ``state``, or DATABASE_URL; raise ConfigurationError without both."""
    if state is not None:
        return _stack_url(state)
    url = variables.get("DATABASE_URL", "").strip()
    if not url:
        raise ConfigurationError("DATABASE_URL is not set: set it, or name a one-machine stack with --state DIR")
    return url


@contextmanager
def transaction(url: str) -> Generator[Connection]:
    """Run the block in one transaction. Raises as ``database_error`` says."""
    try:
        with connect_to(url) as connection, connection.transaction():
            yield connection
    except psycopg.Error as error:
        raise database_error(error) from error


def _stack_url(state: Path) -> str:
    try:
        port = int(json.loads((state / "ports.json").read_text(encoding="utf-8"))["postgres"])
        return cluster_url(state / "postgres", port=port, database=DATABASE)
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"{state} is not the state folder of a one-machine stack with its own database"
        ) from None
