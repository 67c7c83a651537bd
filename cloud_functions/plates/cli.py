"""``vedette-plates``: protect the plates of a site, keep its keys, and say how long it keeps what.

Reads DATABASE_URL (or what else the functions read) and PLATE_MASTER_KEY. Never prints a key or a plate.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cloud_functions.db.connect import Database, connector
from cloud_functions.db.sites import list_keys, list_sites, set_retention
from cloud_functions.plates.master_keys import MasterKeys, add_master_key, make_key_file, master_keys
from cloud_functions.plates.protection import Protection, require_days
from cloud_functions.settings import DatabaseSettings, Environment, PlateSettings
from shared.errors import ConfigurationError, VedetteError
from shared.ids import require_segment

Options = argparse.Namespace


def main(arguments: Sequence[str] | None = None, *, variables: Mapping[str, str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _COMMANDS[options.command](options, Environment(variables))
    except VedetteError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _key(options: Options, environment: Environment) -> None:
    del environment
    path = Path(options.file)
    if options.step == "new":
        name = make_key_file(path)
        print(f"{path} holds the new master key {name}. Keep a copy, apart from the database's.")
        print(f"PLATE_MASTER_KEY=file:{path.resolve()}")
    else:
        name = add_master_key(path)
        print(f"{path} holds one more master key, {name}, now in use: vedette-plates rotate")


def _status(options: Options, environment: Environment) -> None:
    del options
    with _database(environment).transaction() as connection:
        sites, keys = list_sites(connection), list_keys(connection)
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


def _protect(options: Options, environment: Environment) -> None:
    sealed = _protection(environment).protect(options.site)
    _vacuum(environment)
    print(f"The plates of site {options.site} are protected; {sealed} stored reads were sealed.")
    print("Backups, logs of the database and pictures made until now still show plates.")


def _unprotect(options: Options, environment: Environment) -> None:
    opened = _protection(environment).unprotect(options.site)
    print(f"The plates of site {options.site} are not protected any more; {opened} stored reads were opened.")


def _retention(options: Options, environment: Environment) -> None:
    plate_days, event_days = require_days(options.plates), require_days(options.events)
    with _database(environment).transaction() as connection:
        set_retention(connection, options.site, plate_days=plate_days, event_days=event_days)
    print(f"Site {options.site} keeps plates {_days(plate_days)}, events {_days(event_days)}.")


def _rotate(options: Options, environment: Environment) -> None:
    old = _master_keys(environment) if options.old is None else master_keys(options.old)
    print(f"{_protection(environment).rewrap(old=old)} keys are wrapped under the master key in use.")


def _renew(options: Options, environment: Environment) -> None:
    number = _protection(environment).renew(options.site)
    print(f"From now on the plates of site {options.site} are sealed under key {number}.")


def _destroy(options: Options, environment: Environment) -> None:
    if not options.yes:
        raise ConfigurationError(
            f"this makes all protected plates of site {options.site} unreadable for good: say --yes"
        )
    gone = _protection(environment).destroy(options.site)
    print(f"{gone} keys of site {options.site} are destroyed: what was sealed under them cannot be read any more.")
    print("A backup of the database from before holds them still, wrapped.")


_COMMANDS: Final[dict[str, Callable[[Options, Environment], None]]] = {
    "key": _key,
    "status": _status,
    "protect": _protect,
    "unprotect": _unprotect,
    "retention": _retention,
    "rotate": _rotate,
    "renew": _renew,
    "destroy": _destroy,
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


def _database(environment: Environment) -> Database:
    return Database.from_settings(DatabaseSettings.from_environment(environment))


def _vacuum(environment: Environment) -> None:
    """Overwrite what the tables still hold of rows that are gone."""
    with connector(DatabaseSettings.from_environment(environment))() as connection:
        connection.execute("VACUUM events, plate_events, plates")


def _protection(environment: Environment) -> Protection:
    return Protection(database=_database(environment), master_keys=_master_keys(environment))


def _master_keys(environment: Environment) -> MasterKeys:
    return master_keys(PlateSettings.from_environment(environment).master_key)


if __name__ == "__main__":
    sys.exit(main())
