"""Protected sites for tests: a master key in a file, a database with a protected site, a dump of the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from cloud_functions.api.security.plate_access import MAX_OPENED_PLATES, PlateAccess
from cloud_functions.api.security.plate_read_policy import PlateReadPolicy
from cloud_functions.plates.master_keys import FileMasterKeys, MasterKeys, make_key_file
from cloud_functions.privacy.protection import Protection
from cloud_functions.privacy.vault import PlateVault
from shared.clock import ManualClock
from tests.support.api_calls import ApiCalls, lambda_api
from tests.support.ingest_harness import IngestHarness, open_database, open_ingest
from tests.support.wire_events import NOON

SITE = "hq"


def key_file(folder: Path) -> Path:
    """Return the path of the folder's master key file; create it on the first call."""
    path = folder / "plates.key"
    if not path.exists():
        make_key_file(path)
    return path


def setting(folder: Path) -> str:
    return f"file:{key_file(folder)}"


def keys(folder: Path) -> MasterKeys:
    return FileMasterKeys(key_file(folder))


def open_sealing_ingest(url: str, folder: Path) -> AbstractContextManager[IngestHarness]:
    """Return an ingest harness with the folder's master key and a clock at noon."""
    return open_ingest(url, clock=ManualClock(NOON), PLATE_MASTER_KEY=setting(folder))


@contextmanager
def protection(url: str, folder: Path) -> Iterator[Protection]:
    database = open_database(url)
    try:
        yield Protection(database=database, master_keys=keys(folder))
    finally:
        database.close()


def protect(url: str, folder: Path, site_id: str = SITE) -> int:
    with protection(url, folder) as one:
        return one.protect(site_id)


@contextmanager
def api(
    url: str, folder: Path | None, *, reader: bool = False, max_opened: int = MAX_OPENED_PLATES
) -> Iterator[ApiCalls]:
    """Yield an API with or without the master key, for a caller with or without permission to read protected plates."""
    vault = PlateVault(master_keys=None if folder is None else keys(folder))
    read_policy = PlateReadPolicy.allow_all() if reader else PlateReadPolicy.deny_all()
    access = PlateAccess(vault=vault, read_policy=read_policy, max_opened=max_opened)
    handler, dependencies = lambda_api(url, plate_access=access)
    try:
        yield ApiCalls(handler)
    finally:
        handler.close()
        dependencies.close()


def dump(url: str) -> str:
    """Return the content of all tables of the database as text."""
    parts: list[str] = []
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT oid::regclass::text FROM pg_class"
            " WHERE relkind IN ('r', 'm') AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        for (table,) in tables:
            with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.SQL(table))) as copy:
                parts += [bytes(block).decode() for block in copy]
    return "".join(parts)
