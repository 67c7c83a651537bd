"""What must be done now and then, each a function of its own that may be run at any time and any number of times."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cloud_functions.db.connect import Database
from cloud_functions.db.gaps import awake_devices_with_due_gaps, claim_due, give_up_old
from cloud_functions.db.partitions import (
    Partition,
    delete_from_default,
    delete_plates,
    drop_partition,
    ensure_partition,
    list_partitions,
    month_start,
    months_in_default,
    purge_empty_counts,
    purge_old_gaps,
)
from cloud_functions.device_commands import CommandPublisher, ask_for_resends
from cloud_functions.maintenance.site_retention import forget_of_sites
from cloud_functions.settings import GapSettings, MaintenanceSettings
from shared.clock import Clock

log = logging.getLogger(__name__)

_OLDEST_MONTHS: Final = 60
"""Older events stay in the default partition: a device whose clock is wrong must not make a partition a month."""
_DELETED_AT_ONCE: Final = 5_000
_GAPS_KEPT: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the tasks work with."""

    database: Database
    commands: CommandPublisher
    settings: MaintenanceSettings
    gaps: GapSettings
    clock: Clock


def make_partitions(tools: Tools) -> int:
    """Make this month's partition, those ahead, and those of months that arrived late; return how many were made."""
    now = tools.clock.now()
    ahead = [month_start(now, months_later=number) for number in range(tools.settings.months_ahead + 1)]
    with tools.database.transaction() as connection:
        oldest = month_start(now, months_later=-_OLDEST_MONTHS)
        late = months_in_default(connection, start=oldest, end=month_start(ahead[-1], months_later=1))
    made = 0
    for month in sorted({*ahead, *late}):
        with tools.database.transaction() as connection:
            made += ensure_partition(connection, month)
    return made


def drop_old(tools: Tools) -> int:
    """Drop months that lie wholly before the retention's limit; return how many, and stray events, went."""
    if tools.settings.retention_days is None:
        return 0
    limit = tools.clock.now() - timedelta(days=tools.settings.retention_days)
    with tools.database.transaction() as connection:
        old = [partition for partition in list_partitions(connection) if partition.end <= limit]
    for partition in old:
        _delete_plates(tools, partition)
        with tools.database.transaction() as connection:
            drop_partition(connection, partition)
        log.info("dropped %s", partition.name)
    gone = len(old)
    deleted = _DELETED_AT_ONCE
    while deleted == _DELETED_AT_ONCE:
        with tools.database.transaction() as connection:
            deleted = delete_from_default(connection, before=limit, limit=_DELETED_AT_ONCE)
        gone += deleted
    return gone


def forget(tools: Tools) -> int:
    """Drop old months, and delete what single sites keep no longer; return how many months and events went."""
    return drop_old(tools) + forget_of_sites(tools.database, now=tools.clock.now())


def _delete_plates(tools: Tools, partition: Partition) -> None:
    """Delete a month's plate reads a piece at a time, before everybody must wait for its partition to go."""
    deleted = _DELETED_AT_ONCE
    while deleted == _DELETED_AT_ONCE:
        with tools.database.transaction() as connection:
            deleted = delete_plates(connection, partition, limit=_DELETED_AT_ONCE)


def sweep_gaps(tools: Tools) -> int:
    """Ask devices that can answer for the gaps whose time has come; give up the oldest; return how many were asked."""
    with tools.database.transaction() as connection:
        given_up = give_up_old(connection, tools.gaps)
    if given_up:
        log.warning("%d gaps were given up: nothing came for too long", given_up)
    with tools.database.transaction() as connection:
        devices = awake_devices_with_due_gaps(connection)
        resends = claim_due(connection, devices, tools.gaps) if devices else []
    return ask_for_resends(tools.commands, resends, clock=tools.clock)


def tidy(tools: Tools) -> int:
    """Delete count rows that stand at zero, and the record of gaps closed long ago; return how many rows went."""
    with tools.database.transaction() as connection:
        counts = purge_empty_counts(connection)
    with tools.database.transaction() as connection:
        return counts + purge_old_gaps(connection, older_than=_GAPS_KEPT)


TASKS: Final[Mapping[str, Callable[[Tools], int]]] = {
    "partitions": make_partitions,
    "retention": forget,
    "gaps": sweep_gaps,
    "tidy": tidy,
}
"""By the name that a schedule's input gives as ``{"task": …}``."""
