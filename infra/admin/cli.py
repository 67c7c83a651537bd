"""``vedette-admin``: users, keys, the audit log, backups and migrations of a deployment; adopts another system's data.

Works on DATABASE_URL, or on the database of a running one-machine stack with ``--state DIR``. A password is read from
standard input, or generated and printed once; it is never an argument, which other processes could read.

Exit status: 0 success; 1 failure; 2 wrong command line or configuration. Of ``doctor``: 1 warnings; 2 faults.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from cloud_functions.api.security.passwords import generated_password
from cloud_functions.api.security.roles import ROLES
from infra.admin import accounts, audit
from infra.admin.backup import cli as backup
from infra.admin.database import database_url
from infra.admin.dead_letters import cli as dead_letters
from infra.admin.doctor.command import add_doctor
from infra.admin.migrations import add_migrate
from shared.command_line import discard_output, run_command
from shared.errors import ConfigurationError, PermanentError

Options = argparse.Namespace
_MAX_KEY_DAYS: Final = 3650


def main(arguments: Sequence[str] | None = None, *, variables: Mapping[str, str] | None = None) -> int:
    """Run one command and return its exit status; expected errors are printed as one line on stderr."""
    options = build_parser().parse_args(arguments)
    options.variables = variables
    return run_command("vedette-admin", lambda: _run(options, os.environ if variables is None else variables))


def _run(options: Options, variables: Mapping[str, str]) -> int | None:
    command: Callable[[Options, str], int | None] = options.run
    _require_output()
    try:
        status = command(options, _database(options, variables))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:  # the commands translate all others
        discard_output()
        raise PermanentError(f"cannot write the output: {error.strerror}") from None
    return status


def _database(options: Options, variables: Mapping[str, str]) -> str:
    """Return the address of the database; an empty text for a command that can do without it, if there is none."""
    try:
        return database_url(variables, state=options.state)
    except ConfigurationError:
        if options.needs_database:
            raise
        return ""


def _require_output() -> None:
    """A password or key that is printed once would be lost. Raises ConfigurationError."""
    output: TextIO | None = sys.stdout  # None where the process was started without one
    if output is None:
        raise ConfigurationError("standard output is closed")


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="vedette-admin",
        description="Manage users and API keys, verify the audit log, and migrate the database: DATABASE_URL, or"
        " --state DIR.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    users = commands.add_parser("user", help="create, list, disable, enable and reset users").add_subparsers(
        required=True, metavar="STEP"
    )
    create = _add(users, "create", _create_user, "create a user", "NAME")
    create.add_argument("--role", required=True, choices=list(ROLES), help="what the user may do")
    create.add_argument("--email", metavar="EMAIL", help="accepted in place of the name at a log-in")
    _add_groups(create)
    _add_password(create)
    _add(users, "list", _list_users, "list all users")
    _add(users, "disable", _disable_user, "refuse log-ins of a user and end the user's sessions", "NAME")
    _add(users, "enable", _enable_user, "allow log-ins of a user again", "NAME")
    _add_password(_add(users, "reset", _reset_user, "set another password and end the user's sessions", "NAME"))
    keys = commands.add_parser("key", help="create and revoke API keys").add_subparsers(required=True, metavar="STEP")
    key = _add(keys, "create", _create_key, "create an API key and print it, once", "NAME")
    key.add_argument("--scopes", required=True, metavar="S,...", help="permissions, or * for all of them")
    _add_groups(key)
    key.add_argument("--expires", type=int, metavar="DAYS", help="days for which the key is valid (default: no limit)")
    _add(keys, "revoke", _revoke_key, "revoke an API key", "NAME")
    _add_adopt(commands)
    dead_letters.add_commands(commands)
    backup.add_commands(commands)
    audits = commands.add_parser("audit", help="verify the audit log").add_subparsers(required=True, metavar="STEP")
    verify = _add(audits, "verify", _verify_audit, "find changed, missing and reordered entries of the audit log")
    verify.add_argument(
        "--heads",
        type=Path,
        metavar="FILE",
        help="compare with the ends of the log in FILE, if it exists, and write the verified ends to it",
    )
    add_doctor(commands)
    add_migrate(commands)
    return parser


def _add(
    commands: Any, name: str, run: Callable[[Options, str], None], text: str, argument: str | None = None
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    if argument is not None:
        parser.add_argument("name", metavar=argument)
    parser.add_argument("--state", type=Path, metavar="DIR", help="state folder of a running one-machine stack")
    parser.set_defaults(run=run, needs_database=True)
    return parser


def _add_adopt(commands: Any) -> None:
    adopt = _add(commands, "adopt", _adopt, "copy events, plate reads and pictures of another system")
    adopt.add_argument("old_url", metavar="URL", help="postgresql://… of the other system; it is only read")
    adopt.add_argument("--snapshots", type=Path, metavar="DIR", help="folder with the pictures of the other system")
    adopt.add_argument(
        "--site", default="default", metavar="ID", help="site of rows that have none (default: %(default)s)"
    )
    adopt.add_argument(
        "--device", default="adopted", metavar="ID", help="device of events that have none (default: %(default)s)"
    )
    adopt.add_argument(
        "--again",
        action="store_true",
        help="begin with the first row; rows that are stored already are not changed",
    )


def _add_groups(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--groups", metavar="G,...", help="camera groups to which access is limited (default: no limit)"
    )


def _add_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the password from stdin (default: generate and print one)"
    )


def _create_user(options: Options, url: str) -> None:
    password, is_generated = _password(options)
    accounts.create(
        url,
        options.name,
        role=options.role,
        email=options.email,
        groups=_names(options.groups),
        password=password,
    )
    print(f"created {options.name} ({options.role})")
    _print_generated(password if is_generated else None)


def _list_users(_: Options, url: str) -> None:
    for line in accounts.user_lines(url):
        print(line)


def _disable_user(options: Options, url: str) -> None:
    accounts.set_enabled(url, options.name, is_enabled=False)
    print(f"disabled {options.name}")


def _enable_user(options: Options, url: str) -> None:
    accounts.set_enabled(url, options.name, is_enabled=True)
    print(f"enabled {options.name}")


def _reset_user(options: Options, url: str) -> None:
    password, is_generated = _password(options)
    accounts.reset_password(url, options.name, password)
    print(f"changed the password of {options.name}")
    _print_generated(password if is_generated else None)


def _create_key(options: Options, url: str) -> None:
    if options.expires is not None and not 1 <= options.expires <= _MAX_KEY_DAYS:
        raise ConfigurationError(f"--expires must be from 1 to {_MAX_KEY_DAYS} days")
    scopes, groups = _names(options.scopes) or (), _names(options.groups)
    print(accounts.create_key(url, options.name, scopes=scopes, groups=groups, days=options.expires))


def _revoke_key(options: Options, url: str) -> None:
    accounts.revoke_key(url, options.name)
    print(f"revoked {options.name}")


def _adopt(options: Options, url: str) -> None:
    from infra.admin.adopt.command import AdoptOptions, adopt

    chosen = AdoptOptions(
        old_url=options.old_url,
        snapshots=options.snapshots,
        site_id=options.site,
        device_id=options.device,
        again=options.again,
        state=options.state,
    )
    adopt(chosen, url, os.environ if options.variables is None else options.variables)


def _verify_audit(options: Options, url: str) -> None:
    result = audit.verify(url, heads=options.heads)
    for fault in result.faults:
        print(fault)
    if result.faults:
        raise PermanentError(f"the audit log was changed: {len(result.faults)} faults in {result.entries} entries")
    removed = f"; {result.removed} older ones were removed by retention" if result.removed else ""
    print(f"{result.entries} entries, none changed or missing{removed}")


def _password(options: Options) -> tuple[str, bool]:
    """Return the password, and whether it was generated."""
    if not options.password_stdin:
        return generated_password(), True
    source: TextIO | None = sys.stdin  # None where the process was started without one
    try:
        password = "" if source is None else source.readline().rstrip("\r\n")
        password.encode()
    except UnicodeError:
        raise ConfigurationError("the password on standard input is not UTF-8") from None
    if not password:
        raise ConfigurationError("there is no password on standard input")
    return password, False


def _print_generated(password: str | None) -> None:
    if password is not None:
        print(f"password: {password}")


def _names(text: str | None) -> tuple[str, ...] | None:
    """Return the names in a list with commas; None without one."""
    return None if text is None else tuple(filter(None, (name.strip() for name in text.split(","))))


if __name__ == "__main__":
    sys.exit(main())
