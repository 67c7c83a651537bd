"""``vedette-plates``: protect the plates of a site, keep its keys, and say how long it keeps what.

Reads DATABASE_URL (or what else the functions read) and PLATE_MASTER_KEY. Never prints a key, nor a plate but by
``open-letter``.
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
from shared.errors import ConfigurationError, VedetteError
from shared.ids import require_segment

Options = argparse.Namespace


def main(arguments: Sequence[str] | None = None, *, variables: Mapping[str, str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    tools = Tools(Environment(variables))
    try:
        _COMMANDS[options.command](options, tools)
    except VedetteError as error:
        sys.stderr.write(f"vedette-plates: {error}\n")
        return 1
    finally:
        tools.close()
    return 0


class Tools:
    """What commands work with, made when first needed."""

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
        """The keys, where there is a master key."""
        setting = PlateSettings.from_environment(self._environment).master_key
        return PlateVault(master_keys=None if setting is None else master_keys(setting))

    def vacuum(self) -> None:
        """Let PostgreSQL overwrite what the tables still hold of rows that are gone."""
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
        print(f"{path} holds the new master key {name}. Keep a copy, apart from the database's.")
        print(f"PLATE_MASTER_KEY=file:{path.resolve()}")
    else:
        name = add_master_key(path)
        print(f"{path} holds one more master key, {name}, now in use: vedette-plates rotate")


def _status(options: Options, tools: Tools) -> None:
    del options
    with tools.database.transaction() as connection:
        sites, keys, waiting = list_sites(connection), list_keys(connection), sites_to_convert(connection)
    if not sites:
        print("No site has settings of its own: no plate is protected.")
    for site in sites:
        print(
            f"{site.site_id}: plates {'protected' if site.plates_protected else 'not protected'};"
            f" keeps plates {_days(site.plate_retention_days)}, events {_days(site.event_retention_days)}"
        )
        for key in keys:
            if key.site_id == site.site_id:
                print(f"  key {key.key_id} under {key.key.wrapped_by}, wrapped {key.wrapped_at:%Y-%m-%d}")
        if site.site_id in waiting:
            print("  protected reads of an earlier release may wait for conversion: vedette-plates renormalize")
    _report_patterns(tools)


def _protect(options: Options, tools: Tools) -> None:
    sealed = tools.protection.protect(options.site)
    tools.vacuum()
    print(f"The plates of site {options.site} are protected; {sealed} stored reads were sealed.")
    if sealed == 0:
        print(f"No readable read of {options.site} was stored. If there should have been some, check the site's name.")
    print("Backups, logs of the database and pictures made until now still show plates.")


def _unprotect(options: Options, tools: Tools) -> None:
    opened = tools.protection.unprotect(options.site)
    print(f"The plates of site {options.site} are not protected any more; {opened} stored reads were opened.")


def _retention(options: Options, tools: Tools) -> None:
    plate_days, event_days = require_days(options.plates), require_days(options.events)
    with tools.database.transaction() as connection:
        set_retention(connection, options.site, plate_days=plate_days, event_days=event_days)
    print(f"Site {options.site} keeps plates {_days(plate_days)}, events {_days(event_days)}.")


def _rotate(options: Options, tools: Tools) -> None:
    old = tools.master_keys if options.old is None else master_keys(options.old)
    print(f"{tools.protection.rewrap(old=old)} keys are wrapped under the master key in use.")


def _renew(options: Options, tools: Tools) -> None:
    number = tools.protection.renew(options.site)
    print(f"From now on the plates of site {options.site} are sealed under key {number}.")


def _destroy(options: Options, tools: Tools) -> None:
    if not options.yes:
        raise ConfigurationError(
            f"this makes all protected plates of site {options.site} unreadable for good: say --yes"
        )
    gone = tools.protection.destroy(options.site)
    print(f"{gone} keys of site {options.site} are destroyed: what was sealed under them cannot be read any more.")
    print("A backup of the database from before holds them still, wrapped.")


def _open_letter(options: Options, tools: Tools) -> None:
    del options
    vault = PlateVault(master_keys=tools.master_keys)
    with tools.database.transaction() as connection:
        vault.refresh(connection)
    print(open_dead_letter(sys.stdin.read(), vault))


def _renormalize(options: Options, tools: Tools) -> None:
    del options
    done = renormalize(tools.database, tools.vault)
    print(f"{done.open_reads} reads and {done.sealed_reads} protected reads are now in today's normal form.")
    _report_patterns(tools)
    if done.sites_left:
        raise ConfigurationError(f"without their keys, protected reads were left of: {', '.join(done.sites_left)}")


def _report_patterns(tools: Tools) -> None:
    """Print the watch-list patterns that a person must look at, by their numbers: never a plate."""
    with tools.database.transaction() as connection:
        patterns = ambiguous_patterns(connection)
    for pattern_id, watchlist_id, name, reads in patterns:
        print(
            f"Pattern {pattern_id} of watch-list {watchlist_id} ({name}) no longer matches {reads} stored reads: it did"
            " by letters that an earlier release dropped. If it was made for such a plate, add that plate anew."
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
    key = commands.add_parser("key", help="make a file with a master key, or add a key to it")
    key.add_argument("step", choices=["new", "add"])
    key.add_argument("file")
    commands.add_parser("status", help="which sites are protected, under which keys, and what they keep")
    for name, help_text in (
        ("protect", "seal a site's plates: those to come and those stored"),
        ("unprotect", "stop that, and open what is stored"),
        ("renew", "a new data key for a site's plates to come"),
        ("destroy", "delete a site's keys: its plates of until now are unreadable for good"),
        ("retention", "how many days a site keeps its plates, and its events of any kind"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("site", type=_site)
        if name == "destroy":
            command.add_argument("--yes", action="store_true", help="yes, for good")
        if name == "retention":
            command.add_argument("--plates", default="none", metavar="DAYS", help="1 to 36500, or none")
            command.add_argument("--events", default="none", metavar="DAYS", help="1 to 36500, or none")
    commands.add_parser("open-letter", help="print a protected site's rejected message, read from stdin")
    commands.add_parser(
        "renormalize", help="bring stored plates into today's normal form after an upgrade; report doubtful patterns"
    )
    rotate = commands.add_parser("rotate", help="wrap all sites' keys under the master key in use")
    rotate.add_argument("--from", dest="old", metavar="KEY", help="the master key until now, where it is another kind")
    return parser


def _site(text: str) -> str:
    try:
        return require_segment(text, name="site")
    except VedetteError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _days(days: int | None) -> str:
    return "as the deployment does" if days is None else f"{days} days"


if __name__ == "__main__":
    sys.exit(main())
