"""Brings a database to a revision of the schema: ``python -m cloud_functions.db.migrate upgrade``.

Used by the one-machine stack, the tests and the deployment; never imported by a function that answers requests.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError

from shared.errors import ConfigurationError, TransientError, VedetteError
from shared.redact import redact

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at ``url`` up to ``revision``; do nothing where it is there already.

    Raises:
        TransientError: the database cannot be reached.
    """
    _run(command.upgrade, url, revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database at ``url`` back to ``revision`` (``base``: empty). What the schema held is lost."""
    _run(command.downgrade, url, revision)


def current_revision(url: str) -> str | None:
    """Return the revision that the database is at, or None where it was never migrated."""
    try:
        with psycopg.connect(url) as connection:
            if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.OperationalError as error:
        raise TransientError(f"the database cannot be reached: {redact(str(error))}") from error
    return None if row is None else str(row[0])


def head_revision() -> str:
    """Return the newest revision that this code knows."""
    head = ScriptDirectory.from_config(_config("")).get_current_head()
    if head is None:
        raise ConfigurationError(f"there are no migrations in {MIGRATIONS}")
    return head


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = url  # an attribute, not an option: nothing prints it
    return config


def _run(step: Callable[[Config, str], None], url: str, revision: str) -> None:
    try:
        step(_config(url), revision)
    except OperationalError as error:
        raise TransientError(f"the database cannot be migrated now: {redact(str(error.orig))}") from error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cloud_functions.db.migrate", description=__doc__)
    parser.add_argument("step", choices=["upgrade", "downgrade", "current"])
    parser.add_argument("revision", nargs="?", help="default: head; a downgrade must name one (base: empty)")
    chosen = parser.parse_args(arguments)
    try:
        url = os.environ.get("DATABASE_URL")
        if not url:
            raise ConfigurationError("DATABASE_URL is not set: say which database to migrate")
        if chosen.step == "upgrade":
            upgrade(url, chosen.revision or "head")
        elif chosen.step == "downgrade":
            if chosen.revision is None:
                parser.error("downgrade wants a revision")
            downgrade(url, chosen.revision)
        sys.stdout.write(f"{current_revision(url) or 'empty'}\n")
    except VedetteError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
