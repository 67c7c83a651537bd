"""``vedette-plates``: protects the plates of a site, manages its keys and sets its retention.

Reads the database settings of the functions (DATABASE_URL and the others) and PLATE_MASTER_KEY. Never prints a key.
Only ``open-letter`` prints a plate.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from cloud_functions.db.connect import Database, connector
from cloud_functions.db.plates.conversion import ambiguous_patterns, sites_to_convert
from cloud_functions.db.sites.settings import list_keys, list_sites, set_retention
from cloud_functions.plates.master_keys import MasterKeys, add_master_key, make_key_file, master_keys
from cloud_functions.privacy.protection import Protection, require_days
from cloud_functions.privacy.renormalization import renormalize
from cloud_functions.privacy.sealing import open_dead_letter
from cloud_functions.privacy.vault import PlateVault
from cloud_functions.settings import DatabaseSettings, Environment, PlateSettings
from shared.command_line import run_command
from shared.errors import ConfigurationError, VedetteError
from shared.ids import require_segment

Options = argparse.Namespace


def main(arguments: Sequence[str] | None = None, *, variables: Mapping[str, str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    tools = Tools(Environment(variables))
    try:
        return run_command("vedette-plates", lambda: _COMMANDS[options.command](options, tools))
    finally:
        tools.close()


class Tools:
    """The database and the keys that commands use, opened on first use."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._database: Database | None = None

    @property
    def database(self) -> Database:
        if self._database is None:
            self._database = Database.from_settings(self._database_settings)
        return self._database

    @property
    def master_keys(self) -> MasterKeys:
        return master_keys(PlateSettings.from_environment(self._environment).master_key)

    @property
    def protection(self) -> Protection:
        return Protection(database=self.database, master_keys=self.master_keys)

    @property
    def vault(self) -> PlateVault:
        """The sites' keys; without a master key they cannot be unwrapped."""
        setting = PlateSettings.from_environment(self._environment).master_key
        return PlateVault(master_keys=None if setting is None else master_keys(setting))

    def vacuum(self) -> None:
        """Remove deleted rows from the tables' files."""
        connection = connector(self._database_settings)()
        try:
            connection.execute("VACUUM events, plate_events, plates")
        finally:
            connection.close()

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    @property
    def _database_settings(self) -> DatabaseSettings:
        return replace(DatabaseSettings.from_environment(self._environment), statement_timeout_ms=0)


def _key(options: Options, tools: Tools) -> None:
    del tools
    path = Path(options.file)
    if options.step == "new":
        name = make_key_file(path)
        print(f"{path} holds the new master key {name}. Keep a copy, separate from the database's backups.")
        print(f"PLATE_MASTER_KEY=file:{path.resolve()}")
    else:
        name = add_master_key(path)
        print(f"Added master key {name} to {path}; new keys are wrapped with it. Next: vedette-plates rotate")


def _status(options: Options, tools: Tools) -> None:
    del options
    with tools.database.transaction() as connection:
        sites, keys, unconverted = list_sites(connection), list_keys(connection), sites_to_convert(connection)
    if not sites:
        print("No site has its own settings; no plate is protected.")
    for site in sites:
        print(
            f"{site.site_id}: plates {'protected' if site.plates_protected else 'not protected'};"
            f" keeps plates {_days(site.plate_retention_days)}, events {_days(site.event_retention_days)}"
        )
        for key in keys:
            if key.site_id == site.site_id:
                print(f"  key {key.key_id} under {key.key.wrapped_by}, wrapped {key.wrapped_at:%Y-%m-%d}")
        if site.site_id in unconverted:
            print("  protected reads from an earlier release are not converted yet: run vedette-plates renormalize")
    _report_patterns(tools)


def _protect(options: Options, tools: Tools) -> None:
    sealed = tools.protection.protect(options.site)
    tools.vacuum()
    print(f"The plates of site {options.site} are protected; {sealed} stored reads were sealed.")
    if sealed == 0:
        print(f"No unprotected read of {options.site} was stored. If you expected some, check the name of the site.")
    print("Existing backups, database logs and snapshots still show plates.")


def _unprotect(options: Options, tools: Tools) -> None:
    opened = tools.protection.unprotect(options.site)
    print(f"The plates of site {options.site} are no longer protected; {opened} stored reads were decrypted.")


def _retention(options: Options, tools: Tools) -> None:
    plate_days, event_days = require_days(options.plates), require_days(options.events)
    with tools.database.transaction() as connection:
        set_retention(connection, options.site, plate_days=plate_days, event_days=event_days)
    print(f"Site {options.site}: plates are kept {_days(plate_days)}, events {_days(event_days)}.")


def _rotate(options: Options, tools: Tools) -> None:
    old = tools.master_keys if options.old is None else master_keys(options.old)
    print(f"{tools.protection.rewrap(old=old)} keys are now wrapped with the current master key.")


def _renew(options: Options, tools: Tools) -> None:
    number = tools.protection.renew(options.site)
    print(f"New plates of site {options.site} are sealed with key {number}.")


def _destroy(options: Options, tools: Tools) -> None:
    if not options.yes:
        raise ConfigurationError(
            f"this makes all protected plates of site {options.site} permanently unreadable; confirm with --yes"
        )
    deleted = tools.protection.destroy(options.site)
    print(f"{deleted} keys of site {options.site} are destroyed; plates sealed with them can no longer be read.")
    print("Earlier database backups still contain these keys, wrapped.")


def _open_letter(options: Options, tools: Tools) -> None:
    del options
    vault = PlateVault(master_keys=tools.master_keys)
    with tools.database.transaction() as connection:
        vault.refresh(connection)
    print(open_dead_letter(sys.stdin.read(), vault))


def _renormalize(options: Options, tools: Tools) -> None:
    del options
    result = renormalize(tools.database, tools.vault)
    converted = f"{result.unprotected_reads} reads and {result.protected_reads} protected reads"
    print(f"{converted} were converted to the current normal form.")
    _report_patterns(tools)
    if result.sites_left:
        raise ConfigurationError(
            f"the protected reads of these sites were not converted, because their keys are unavailable:"
            f" {', '.join(result.sites_left)}"
        )


def _report_patterns(tools: Tools) -> None:
    """Print the ids of the watch-list patterns that an operator must check; never a plate."""
    with tools.database.transaction() as connection:
        patterns = ambiguous_patterns(connection)
    for pattern_id, watchlist_id, name, reads in patterns:
        print(
            f"Pattern {pattern_id} of watch-list {watchlist_id} ({name}) no longer matches {reads} stored reads: they"
            " matched only because an earlier release dropped letters. If the pattern is for such a plate, add the"
            " plate again."
        )


_COMMANDS: Final[dict[str, Callable[[Options, Tools], None]]] = {
    "key": _key,
    "status": _status,
    "protect": _protect,
    "unprotect": _unprotect,
    "retention": _retention,
    "rotate": _rotate,
    "renew": _renew,
    "destroy": _destroy,
    "open-letter": _open_letter,
    "renormalize": _renormalize,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vedette-plates", description="Protected plates: sites, keys, retention.")
    commands = parser.add_subparsers(dest="command", required=True)
    key = commands.add_parser("key", help="create a file with a master key, or add a key to it")
    key.add_argument("step", choices=["new", "add"])
    key.add_argument("file")
    commands.add_parser("status", help="list the sites with their protection, keys and retention")
    for name, help_text in (
        ("protect", "seal a site's plates, new and stored"),
        ("unprotect", "stop sealing a site's plates, and decrypt the stored ones"),
        ("renew", "create a new data key for a site's future plates"),
        ("destroy", "delete a site's keys: its stored plates become permanently unreadable"),
        ("retention", "set how many days a site keeps its plates, and its events of any type"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("site", type=_site)
        if name == "destroy":
            command.add_argument("--yes", action="store_true", help="confirm that this cannot be undone")
        if name == "retention":
            command.add_argument("--plates", default="none", metavar="DAYS", help="1 to 36500, or none")
            command.add_argument("--events", default="none", metavar="DAYS", help="1 to 36500, or none")
    commands.add_parser("open-letter", help="decrypt a protected site's dead letter from stdin and print it")
    commands.add_parser(
        "renormalize", help="convert stored plates to the current normal form after an upgrade; list affected patterns"
    )
    rotate = commands.add_parser("rotate", help="wrap all sites' keys with the current master key")
    rotate.add_argument(
        "--from", dest="old", metavar="KEY", help="the previous master key, if it is of another kind (kms or file)"
    )
    return parser


def _site(text: str) -> str:
    try:
        return require_segment(text, name="site")
    except VedetteError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _days(days: int | None) -> str:
    return "for the deployment's default" if days is None else f"for {days} days"


if __name__ == "__main__":
    sys.exit(main())
