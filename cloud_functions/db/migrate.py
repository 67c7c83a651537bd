"""Migrates a database to a revision of the schema: ``python -m cloud_functions.db.migrate upgrade``.

Used by the one-machine stack, the tests and the deployment. The functions that handle requests do not import it.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from cloud_functions.db.connect import connect_to, database_error
from cloud_functions.db.migration_lock import STATEMENT_TIMEOUT_S, MigrationLockedError, describe_blockers
from shared.errors import ConfigurationError, PermanentError, TransientError, VedetteError
from shared.redact import redact

MIGRATIONS = Path(__file__).parent / "migrations"
WAIT_S: Final = 120.0
"""Seconds during which a migration is retried while another migration runs or a table is locked."""
_LONGEST_PAUSE_S: Final = 5.0
_OWN_REVISION: Final = re.compile(r"[0-9]{4}")
_CREATED: Final = re.compile(r"^CREATE (?:TABLE|VIEW|SEQUENCE) (?!IF NOT EXISTS)(\w+)", re.ASCII | re.MULTILINE)
_COLUMN: Final = re.compile(r"^ALTER TABLE (\w+)\s+ADD COLUMN (?!IF NOT EXISTS)(\w+)", re.ASCII | re.MULTILINE)
_FOREIGN_TABLES_REMEDY: Final = (
    "use an empty database, or one whose search_path is an empty schema, and copy events and plate reads of another"
    " system with vedette-admin adopt"
)


class NewerSchemaError(ConfigurationError):
    """A newer release has migrated the database to ``revision``, which this release does not know."""

    def __init__(self, revision: str, *, newest: str) -> None:
        super().__init__(
            f"the database is at revision {revision}, which this release does not know (its newest is {newest}):"
            " a newer release has migrated it; install that release, or restore an earlier backup"
        )
        self.revision = revision


class MigrationStep(NamedTuple):
    """One migration, and what it adds to the schema."""

    revision: str
    subject: str
    """One sentence."""
    tables: list[str]
    """Tables, views and sequences that it creates."""
    columns: list[tuple[str, str]]
    """Table and name of each column that it adds to a table."""


def upgrade(
    url: str, revision: str = "head", *, wait_s: float = WAIT_S, limit_of: Callable[[str], float] | None = None
) -> None:
    """Upgrade the database at ``url`` to ``revision``; do nothing if it is at that revision already.

    Each migration runs in its own transaction. One that cannot get a lock within 0.25 s is rolled back and retried for
    up to ``wait_s`` seconds, so that other sessions can continue. ``limit_of`` is called with each revision before it
    begins; it returns the seconds that its locks and each of its statements may take, instead of ``wait_s`` and an
    hour. An error that it raises ends the upgrade between two revisions.

    Raises:
        TransientError: the database cannot be reached, or a lock was held for too long (the text names the session).
        PermanentError: a statement of a migration took longer than its limit; it was rolled back.
        ConfigurationError: the database is of a newer release or another application, or a privilege is missing.
    """
    with _plain_errors():
        known = _revisions()
        last = _position(known, _resolve(revision))
        if _position(known, _known_revision(url, known)) >= last:
            return  # whatever the names of later migrations are used for
        current = require_no_foreign_tables(url)
        for step in known[_position(known, current) : last]:
            limit_s = None if limit_of is None else limit_of(step)
            config = _config(url, statement_timeout_s=limit_s or STATEMENT_TIMEOUT_S)
            try:
                _run(command.upgrade, config, step, wait_s=limit_s or wait_s)
            except CommandError:
                # Between two steps, or when a migration commits in between (0008), another process may finish first.
                if _position(known, current_revision(url)) < _position(known, step):
                    raise


def downgrade(url: str, revision: str, *, wait_s: float = WAIT_S) -> None:
    """Downgrade the database at ``url`` to ``revision`` (``base``: empty). Data in removed tables and columns is lost.

    Raises: as ``upgrade``.
    """
    with _plain_errors():
        known = _revisions()
        current = _known_revision(url, known)
        first, last = _position(known, _resolve(revision)), _position(known, current)
        for position in range(last - 1, first - 1, -1):
            try:
                _run(command.downgrade, _config(url), known[position - 1] if position else "base", wait_s=wait_s)
            except CommandError:
                # Between two steps another process may have downgraded the database further.
                if _position(known, current_revision(url)) > position:
                    raise


def current_revision(url: str) -> str | None:
    """Return the database's revision, or None if it was never migrated.

    Raises:
        TransientError, ConfigurationError: the database cannot be reached or read.
    """
    with _plain_errors(), connect_to(url, application_name="vedette-migrate") as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def head_revision() -> str:
    """Return the newest revision in this release."""
    head = ScriptDirectory.from_config(_config("")).get_current_head()
    if head is None:
        raise ConfigurationError(f"there are no migrations in {MIGRATIONS}")
    return head


def pending_steps(url: str) -> list[MigrationStep]:
    """Return the migrations that ``upgrade`` would run, in their order.

    Raises: as ``upgrade``, if the database cannot be reached or is not one of this or an earlier release.
    """
    with _plain_errors():
        known = _revisions()
        return [_step(revision) for revision in known[_position(known, _known_revision(url, known)) :]]


def steps_above(url: str, revision: str) -> list[MigrationStep]:
    """Return the migrations that ``downgrade`` to ``revision`` would revert, the newest first. Raises: as that."""
    with _plain_errors():
        known = _revisions()
        last = _position(known, _known_revision(url, known))
        return [_step(one) for one in known[_position(known, _resolve(revision)) : last]][::-1]


def require_no_foreign_tables(url: str) -> str | None:
    """Return the database's revision; raise ConfigurationError if tables of the migrations that follow it exist.

    The check comes before the first migration, because each is committed on its own.
    """
    known = _revisions()
    while True:
        current = _known_revision(url, known)
        tables = _existing(url, _tables_created_after(current, known))
        if not tables:
            return current
        # Another process may have created them since: it commits them together with its revision.
        if _known_revision(url, known) == current:
            raise ConfigurationError(
                f"the database contains tables that Vedette did not create: {', '.join(tables)};"
                f" {_FOREIGN_TABLES_REMEDY}"
            )


def _config(url: str, *, statement_timeout_s: float = STATEMENT_TIMEOUT_S) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = url  # an attribute, not an option: nothing prints it
    config.attributes["statement_timeout_s"] = statement_timeout_s
    return config


def _revisions() -> list[str]:
    """Return all revisions, oldest first."""
    return [step.revision for step in ScriptDirectory.from_config(_config("")).walk_revisions()][::-1]


def _step(revision: str) -> MigrationStep:
    script = ScriptDirectory.from_config(_config("")).get_revision(revision)
    text = Path(script.path).read_text(encoding="utf-8")
    subject = (script.doc or "").partition("\n")[0]
    return MigrationStep(revision, subject, _CREATED.findall(text), _COLUMN.findall(text))


def _resolve(revision: str) -> str | None:
    script = ScriptDirectory.from_config(_config(""))
    step = None if revision == "base" else script.get_revision(revision)
    return None if step is None else step.revision


def _position(known: list[str], revision: str | None) -> int:
    """Return the number of migrations from an empty database to ``revision``."""
    return 0 if revision is None else known.index(revision) + 1


def _known_revision(url: str, known: list[str]) -> str | None:
    current = current_revision(url)
    if current is not None and not _OWN_REVISION.fullmatch(current):
        raise ConfigurationError(
            f"the database is at revision {current[:100]} of another application's migrations; {_FOREIGN_TABLES_REMEDY}"
        )
    if current is not None and current not in known:
        raise NewerSchemaError(current, newest=known[-1])
    return current


def _tables_created_after(revision: str | None, known: list[str]) -> list[str]:
    """Return the tables, views and sequences that only migrations after ``revision`` create."""
    script = ScriptDirectory.from_config(_config(""))
    created = [_CREATED.findall(Path(script.get_revision(step).path).read_text(encoding="utf-8")) for step in known]
    position = _position(known, revision)
    earlier = {name for names in created[:position] for name in names}
    return [name for names in created[position:] for name in names if name not in earlier]


def _existing(url: str, names: list[str]) -> list[str]:
    with connect_to(url, application_name="vedette-migrate") as connection:
        found = connection.execute(
            "SELECT DISTINCT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL ORDER BY name",
            [names],
        )
        return [name for (name,) in found]


def _run(step: Callable[[Config, str], None], config: Config, revision: str, *, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    pause_s = 0.1
    while True:
        try:
            step(config, revision)
        except (MigrationLockedError, DBAPIError, psycopg.Error) as error:
            if isinstance(_cause(error), psycopg.errors.QueryCanceled):
                raise PermanentError(
                    f"a statement of migration {revision} did not finish within"
                    f" {config.attributes['statement_timeout_s']:.0f} s; the migration was rolled back. Run it with"
                    " `vedette-admin migrate up`, which allows an hour, on a machine that reaches the database"
                ) from error
            if not _is_locked(error):
                raise
            if time.monotonic() + pause_s > deadline:
                raise TransientError(_timeout_message(error, config.attributes["database_url"], wait_s)) from error
        else:
            return
        time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, so that two processes do not collide repeatedly
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _cause(error: Exception) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _is_locked(error: Exception) -> bool:
    return isinstance(
        _cause(error), MigrationLockedError | psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected
    )


def _timeout_message(error: Exception, url: str, wait_s: float) -> str:
    if isinstance(error, MigrationLockedError):
        return (
            f"{error}; waited {wait_s:g} s. If that session is not a migration (a pooler reused it), terminate it:"
            " SELECT pg_terminate_backend(pid)"
        )
    with connect_to(url, application_name="vedette-migrate") as connection:
        blockers = describe_blockers(connection)
    return (
        f"the migration waited {wait_s:g} s for a table that another transaction has locked; nothing was changed."
        f" Open for longest: {blockers}. Wait until it ends, or terminate it, and migrate again"
    )


@contextmanager
def _plain_errors() -> Generator[None]:
    """Translate errors of Alembic, SQLAlchemy and psycopg to readable ones."""
    try:
        yield
    except psycopg.Error as error:
        raise database_error(error) from error
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise database_error(error.orig) from error
        raise TransientError(f"the database cannot be migrated now: {redact(str(error.orig))}") from error
    except CommandError as error:
        raise ConfigurationError(f"the database cannot be migrated: {redact(str(error))}") from error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cloud_functions.db.migrate", description=__doc__)
    parser.add_argument("step", choices=["upgrade", "downgrade", "current"])
    parser.add_argument("revision", nargs="?", help="default: head; a downgrade must name one (base: empty)")
    chosen = parser.parse_args(arguments)
    try:
        url = os.environ.get("DATABASE_URL")
        if not url:
            raise ConfigurationError("DATABASE_URL is not set: set it to the database to migrate")
        if chosen.step == "upgrade":
            upgrade(url, chosen.revision or "head")
        elif chosen.step == "downgrade":
            if chosen.revision is None:
                parser.error("downgrade requires a revision")
            downgrade(url, chosen.revision)
        sys.stdout.write(f"{current_revision(url) or 'empty'}\n")
    except VedetteError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
