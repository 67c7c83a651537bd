"""Making monthly partitions: those ahead, and those of events that lie in the default partition."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from cloud_functions.db.connect import LockedError
from cloud_functions.db.partitions.move import (
    MAX_DEFAULT_BYTES,
    MoveState,
    begin_move,
    copy_batch,
    default_size_bytes,
    discard_move,
    finish_move,
    move_state,
    moving_default_size_bytes,
    prepare_move,
)
from cloud_functions.db.partitions.partitions import (
    DefaultMonth,
    ensure_partition,
    list_partitions,
    month_start,
    months_in_default,
)
from cloud_functions.maintenance.locks import in_transaction
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from shared.errors import TransientError

log = logging.getLogger(__name__)

RECENT_MONTHS: Final = 60
FEW_EVENTS: Final = 50
"""A month older than the recent ones gets a partition from so many events on: a device whose clock is wrong must not
make a partition a month."""
_TAKEN_OVER_AT_ONCE: Final = 1000
"""``events_ensure_partition`` takes over so many events of the default partition; more are moved in batches."""
_MOST_PARTITIONS: Final = 400
_MOST_STRAYS: Final = 30_000
"""So few fit into a small default partition: where it is large all the same, rebuilding it helps."""


def make_months_ahead(context: MaintenanceContext) -> int:
    """Make this month's partition and those ahead; return how many were made."""
    return sum(_ensure(context, month) for month in _ahead(context))


def empty_default_partition(context: MaintenanceContext) -> int:
    """Give the events in the default partition partitions of their own; return how many were made.

    Much is moved in batches, for as long as one run may take; the next run goes on.

    Raises:
        TransientError: it is not done yet, or a lock could not be had.
    """
    try:
        found = _look(context)
    except LockedError:
        log.info("another process is moving events out of the default partition")
        return 0
    if found.move is None and not found.is_much:
        _discard(context)
        return sum(_ensure(context, month.start) for month in found.wanted)
    if found.move is None or not found.move.usable:
        if not found.wanted and found.strays > _MOST_STRAYS:
            log.warning("the default partition holds many events, and no month of them is worth a partition")
            return 0
        _begin(context, found)
    _copy(context)
    return _finish(context)


@dataclass(frozen=True, slots=True)
class _Found:
    move: MoveState | None
    wanted: list[DefaultMonth]
    strays: int
    is_much: bool


def _look(context: MaintenanceContext) -> _Found:
    with context.database.transaction() as connection:
        move = move_state(connection)
        months = months_in_default(connection, most=_TAKEN_OVER_AT_ONCE + 1)
        size_bytes = default_size_bytes(connection)
    wanted = [month for month in months if _wants_partition(month, context)]
    return _Found(
        move=move,
        wanted=wanted,
        strays=sum(month.events for month in months) - sum(month.events for month in wanted),
        is_much=size_bytes > MAX_DEFAULT_BYTES or any(month.events > _TAKEN_OVER_AT_ONCE for month in wanted),
    )


def _wants_partition(month: DefaultMonth, context: MaintenanceContext) -> bool:
    oldest, newest = month_start(context.clock.now(), months_later=-RECENT_MONTHS), _ahead(context)[-1]
    return month.events >= (1 if oldest <= month.start <= newest else FEW_EVENTS)


def _ahead(context: MaintenanceContext) -> list[datetime]:
    now = context.clock.now()
    return [month_start(now, months_later=number) for number in range(context.settings.months_ahead + 1)]


def _ensure(context: MaintenanceContext, month: datetime) -> bool:
    return in_transaction(context.database, partial(ensure_partition, moment=month), sleep=context.sleep)


def _begin(context: MaintenanceContext, found: _Found) -> None:
    """Prepare a move with the wanted months and the missing ones between them: history is loaded in order of time."""
    with context.database.transaction() as connection:
        there = {partition.start for partition in list_partitions(connection)}
    wanted = {month.start for month in found.wanted}
    months = sorted((wanted | _between(wanted, context)) - there)[: max(_MOST_PARTITIONS - len(there), 0)]
    in_transaction(context.database, partial(prepare_move, months=months), sleep=context.sleep)
    in_transaction(context.database, begin_move, sleep=context.sleep)
    log.info("moving events of %d months out of the default partition", len(wanted))


def _between(wanted: set[datetime], context: MaintenanceContext) -> set[datetime]:
    oldest = month_start(context.clock.now(), months_later=-RECENT_MONTHS)
    month = min((month for month in wanted if month >= oldest), default=None)
    between: set[datetime] = set()
    while month is not None and month <= _ahead(context)[-1]:
        between.add(month)
        month = month_start(month, months_later=1)
    return between


def _copy(context: MaintenanceContext) -> None:
    deadline_s = context.clock.monotonic() + context.settings.budget_s
    copied = 0
    while events := in_transaction(context.database, copy_batch, sleep=context.sleep):
        copied += events
        if context.clock.monotonic() > deadline_s:
            raise TransientError(f"{copied} more events are copied out of the default partition; the next run goes on")


def _finish(context: MaintenanceContext) -> int:
    with context.database.transaction() as connection:
        size_bytes = moving_default_size_bytes(connection)
    if size_bytes > MAX_DEFAULT_BYTES:
        _discard(context)
        raise TransientError("events of further months came meanwhile; the next run moves those as well")
    months = in_transaction(context.database, finish_move, sleep=context.sleep)
    _discard(context)
    log.info("%d months were moved out of the default partition", months)
    return months


def _discard(context: MaintenanceContext) -> None:
    in_transaction(context.database, discard_move, sleep=context.sleep)
