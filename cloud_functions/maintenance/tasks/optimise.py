"""Keeps the database fast: renews stale statistics, merges pending lists, and rebuilds bloated indexes.

Nothing is done that is not needed, and nothing blocks ingest: every statement takes a lock that readers and writers do
not conflict with, and waits for it only briefly.
"""

from __future__ import annotations

import logging
from functools import partial

import psycopg

from cloud_functions.db.maintenance.indexes import (
    BloatedIndex,
    begin_session,
    bloated_indexes,
    drop_leftover,
    leftover_indexes,
    rebuild,
    record_rebuild,
)
from cloud_functions.db.maintenance.statistics import (
    analyse,
    gin_indexes,
    merge_pending_list,
    tables_with_stale_statistics,
    vacuum_suggestions,
)
from cloud_functions.db.types import Connection
from cloud_functions.maintenance.locks import in_transaction
from cloud_functions.maintenance.tasks.context import MaintenanceContext

log = logging.getLogger(__name__)


def renew_statistics(context: MaintenanceContext) -> int:
    """Analyse tables whose statistics are stale, and log those that need a VACUUM; return how many were analysed."""
    with context.database.transaction() as connection:
        tables = tables_with_stale_statistics(connection)
        suggestions = vacuum_suggestions(connection)
    for table in tables:
        in_transaction(context.database, partial(analyse, table=table), sleep=context.sleep)
        log.info("analysed %s", table)
    for one in suggestions:
        log.warning(
            "autovacuum is behind on %s (%d dead rows, transaction age %d): run VACUUM %s",
            one.table,
            one.dead_rows,
            one.transaction_age,
            one.table,
        )
    return len(tables)


def merge_pending_lists(context: MaintenanceContext) -> int:
    """Move the pending entries of GIN indexes into them; return how many indexes had some."""
    with context.database.transaction() as connection:
        indexes = gin_indexes(connection)
    merge = (partial(merge_pending_list, index=index) for index in indexes)
    return sum(in_transaction(context.database, each, sleep=context.sleep) > 0 for each in merge)


def rebuild_indexes(context: MaintenanceContext) -> int:
    """Rebuild bloated indexes and drop the invalid ones of interrupted rebuilds; return how many were rebuilt.

    None is begun after the time budget, and each rebuild ends with it. What is left waits for the next run.
    """
    min_waste_bytes = context.settings.reindex_min_waste_bytes
    with context.database.transaction() as connection:
        leftovers = leftover_indexes(connection)
        bloated = bloated_indexes(connection, min_waste_bytes=min_waste_bytes)
    if not leftovers and not bloated:
        return 0
    with context.database.session() as connection:
        if (reason := begin_session(connection)) is not None:
            log.warning("%d bloated and %d invalid indexes are left: %s", len(bloated), len(leftovers), reason)
            return 0
        _drop_leftovers(connection)
        return _rebuild(context, connection, bloated)


def _rebuild(context: MaintenanceContext, connection: Connection, bloated: list[BloatedIndex]) -> int:
    deadline_s = context.clock.monotonic() + context.settings.budget_s
    rebuilt = 0
    for index in bloated:
        left_s = deadline_s - context.clock.monotonic()
        if left_s <= 0:
            break
        try:
            rebuild(connection, index.name, timeout_s=left_s)
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
            log.warning("rebuilding the index %s took too long; run REINDEX INDEX CONCURRENTLY yourself", index.name)
            record_rebuild(connection, index.name, done=False)
            _drop_leftovers(connection)
        else:
            record_rebuild(connection, index.name, done=True)
            log.info("rebuilt the index %s, which had %d bytes", index.name, index.size_bytes)
            rebuilt += 1
    return rebuilt


def _drop_leftovers(connection: Connection) -> None:
    for name in leftover_indexes(connection):
        try:
            drop_leftover(connection, name)
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
            log.warning("the invalid index %s could not be dropped yet; the next run does so", name)
