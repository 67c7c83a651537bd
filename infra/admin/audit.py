"""The audit log, as ``vedette-admin`` adds to it and verifies it."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import psycopg

from cloud_functions.db.audit.chain import Verification, verify_chain
from cloud_functions.db.audit.log import AuditEntry, add_entry
from cloud_functions.db.connect import connect_to, database_error
from cloud_functions.db.types import Connection
from shared.errors import ConfigurationError


def record_command(connection: Connection, action: str, *, target: str, **details: Any) -> None:
    """Add the entry of a command, in the transaction of what it changes. The actor is the user of the system."""
    entry = AuditEntry(
        actor_kind="command",
        actor_name=f"vedette-admin ({_system_user()})",
        action=action,
        target=target,
        details={name: value for name, value in details.items() if value is not None},
    )
    add_entry(connection, entry)


def verify(url: str, *, heads: Path | None) -> Verification:
    """Verify the log. With ``heads``, also against the ends in that file, which are replaced if nothing is wrong.

    Raises:
        ConfigurationError: the file cannot be read or written.
    """
    known = None if heads is None else _read_heads(heads)
    try:
        with connect_to(url) as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            result = verify_chain(connection, known=known)
    except psycopg.Error as error:
        raise database_error(error) from error
    if heads is not None and not result.faults:
        _write_heads(heads, result.heads)
    return result


def _read_heads(path: Path) -> dict[int, tuple[int, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {int(chain): (int(sequence), str(found)) for chain, (sequence, found) in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError):
        raise ConfigurationError(f"{path} does not hold the ends of an audit log") from None


def _write_heads(path: Path, heads: dict[int, tuple[int, str]]) -> None:
    try:
        path.write_text(json.dumps(heads, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for its user
        return "unknown"
