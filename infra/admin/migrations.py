"""The command ``vedette-admin migrate``: the database's revision, what is pending, and steps up and down.

A step down removes tables and columns with their data, so it says what would be lost and asks first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from psycopg import sql

from cloud_functions.db.types import Connection
from infra.admin.database import transaction
from shared.errors import ConfigurationError, PermanentError

if TYPE_CHECKING:
    from cloud_functions.db.migrate import MigrationStep

_MAX_WAIT_S: Final = 3600.0
_COUNTED: Final = 1000
_STEPS: Final = {
    "up": "upgrade the schema to a revision (default: the newest)",
    "down": "downgrade the schema to a revision; base removes everything",
    "current": "print the revision",
    "pending": "print the migrations that `up` would run, one a line",
}


def add_migrate(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "migrate",
        help="migrate the database",
        description="Migrate the database: " + "; ".join(f"{step}: {text}" for step, text in _STEPS.items()) + ". Up"
        " does not stop a running release, which works with the newer schema.",
    )
    parser.add_argument("step", choices=list(_STEPS))
    parser.add_argument(
        "revision", nargs="?", help="four digits, as `pending` and `current` print; `down` must name one"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="state folder of a running one-machine stack")
    parser.add_argument(
        "--wait",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="how long `up` and `down` wait for another migration and for locked tables (default: %(default)g)",
    )
    parser.add_argument("--yes", action="store_true", help="`down`: do not ask for confirmation")
    parser.set_defaults(run=_run, needs_database=True)


def _run(options: argparse.Namespace, url: str) -> None:
    from cloud_functions.db.migrate import current_revision

    if options.step in {"current", "pending"} and options.revision is not None:
        raise ConfigurationError(f"migrate {options.step} takes no revision")
    if not 0 <= options.wait <= _MAX_WAIT_S:
        raise ConfigurationError(f"--wait must be from 0 to {_MAX_WAIT_S:g} seconds")
    if options.step == "pending":
        for line in _pending_lines(url):
            sys.stdout.write(f"{line}\n")
        return
    if options.step == "up":
        _up(url, options)
    elif options.step == "down":
        _down(url, options)
    sys.stdout.write(f"{current_revision(url) or 'empty'}\n")


def _up(url: str, options: argparse.Namespace) -> None:
    from cloud_functions.db.migrate import upgrade

    upgrade(url, options.revision or "head", wait_s=options.wait)


def _pending_lines(url: str) -> list[str]:
    from cloud_functions.db.migrate import pending_steps

    return [f"{step.revision}  {step.subject}" for step in pending_steps(url)]


def _down(url: str, options: argparse.Namespace) -> None:
    from cloud_functions.db.migrate import downgrade, steps_above

    if options.revision is None:
        raise ConfigurationError("migrate down requires a revision; base removes everything")
    steps = steps_above(url, options.revision)
    if steps and not options.yes:
        _confirm(steps, losses(url, steps))
    downgrade(url, options.revision, wait_s=options.wait)


def losses(url: str, steps: Sequence[MigrationStep]) -> list[str]:
    """Return what reverting ``steps`` would delete: tables with rows, and columns."""
    lines: list[str] = []
    removed: set[str] = set()
    with transaction(url) as connection:
        for table in dict.fromkeys(table for step in steps for table in step.tables):
            removed.add(table)
            if rows := _rows(connection, table):
                lines.append(f"table {table} ({'more than ' if rows > _COUNTED else ''}{min(rows, _COUNTED)} rows)")
    columns = [column for step in steps for column in step.columns if column[0] not in removed]
    return lines + [f"column {name} of {table}" for table, name in columns]


def _rows(connection: Connection, table: str) -> int:
    """Return the number of rows, counted up to one more than ``_COUNTED``; 0 for what is no table."""
    is_table = "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass(%s) AND relkind IN ('r', 'p'))"
    if connection.execute(is_table, [table]).fetchone() != (True,):
        return 0
    query = sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT %s) AS counted").format(sql.Identifier(table))
    row = connection.execute(query, [_COUNTED + 1]).fetchone()
    return 0 if row is None else row[0]


def _confirm(steps: Sequence[MigrationStep], lost: Sequence[str]) -> None:
    """Say what would be lost, and ask on the terminal. Raises ConfigurationError or PermanentError unless confirmed."""
    sys.stderr.write(f"this reverts {', '.join(step.revision for step in steps)}; it deletes:\n")
    sys.stderr.writelines(f"  {line}\n" for line in lost or ["nothing that has rows"])
    source: TextIO | None = sys.stdin  # None where the process was started without one
    if source is None or not source.isatty():
        raise ConfigurationError("nothing was changed: repeat it with --yes to confirm")
    sys.stderr.write("Type yes to continue: ")
    sys.stderr.flush()
    if source.readline().strip() != "yes":
        raise PermanentError("nothing was changed")
