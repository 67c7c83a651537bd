"""Makes monthly partitions: for future months, and for events that are in the default partition."""

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
    MIN_EVENTS_OF_OLD_MONTH,
    RECENT_MONTHS,
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

_MAX_EVENTS_PER_TAKEOVER: Final = 1000
"""Events that ``events_ensure_partition`` moves out of the default partition; more are moved in batches."""
_MAX_PARTITIONS: Final = 400
_MAX_STRAYS: Final = 30_000
"""Events that fit into a small default partition. If it is larger than that with fewer events, rebuild it."""


def make_months_ahead(context: MaintenanceContext) -> int:
    """Make the partitions of this month and of future months; return how many were made."""
    return sum(_ensure(context, month) for month in _ahead(context))


def empty_default_partition(context: MaintenanceContext) -> int:
    """Move the events of the default partition into monthly partitions; return how many partitions were made.

    Many events are moved in batches within the time budget of a run; the next run continues.

    Raises:
        TransientError: the move is not finished yet, or a lock was not available.
    """
    try:
        contents = _default_contents(context)
    except LockedError:
        log.info("another process is moving events out of the default partition")
        return 0
    if contents.move is None and not contents.is_large:
        _discard(context)
        return sum(_ensure(context, month.start) for month in contents.months_to_make)
    if contents.move is None or not contents.move.usable:
        if not contents.months_to_make and contents.strays > _MAX_STRAYS:
            log.warning("the default partition is large, but no month in it has enough events for a partition")
            return 0
        _begin(context, contents)
    _copy(context)
    return _finish(context)


@dataclass(frozen=True, slots=True)
class _DefaultContents:
    move: MoveState | None
    months_to_make: list[DefaultMonth]
    strays: int
    is_large: bool


def _default_contents(context: MaintenanceContext) -> _DefaultContents:
    with context.database.transaction() as connection:
        move = move_state(connection)
        months = months_in_default(connection, limit=_MAX_EVENTS_PER_TAKEOVER + 1)
        size_bytes = default_size_bytes(connection)
    months_to_make = [month for month in months if _needs_partition(month, context)]
    return _DefaultContents(
        move=move,
        months_to_make=months_to_make,
        strays=sum(month.events for month in months) - sum(month.events for month in months_to_make),
        is_large=size_bytes > MAX_DEFAULT_BYTES
        or any(month.events > _MAX_EVENTS_PER_TAKEOVER for month in months_to_make),
    )


def _needs_partition(month: DefaultMonth, context: MaintenanceContext) -> bool:
    oldest, newest = month_start(context.clock.now(), months_later=-RECENT_MONTHS), _ahead(context)[-1]
    return month.events >= (1 if oldest <= month.start <= newest else MIN_EVENTS_OF_OLD_MONTH)


def _ahead(context: MaintenanceContext) -> list[datetime]:
    now = context.clock.now()
    return [month_start(now, months_later=number) for number in range(context.settings.months_ahead + 1)]


def _ensure(context: MaintenanceContext, month: datetime) -> bool:
    return in_transaction(context.database, partial(ensure_partition, moment=month), sleep=context.sleep)


def _begin(context: MaintenanceContext, contents: _DefaultContents) -> None:
    """Prepare a move with the months to make and the missing ones between them: history is loaded in time order."""
    with context.database.transaction() as connection:
        existing = {partition.start for partition in list_partitions(connection)}
    starts = {month.start for month in contents.months_to_make}
    months = sorted((starts | _between(starts, context)) - existing)[: max(_MAX_PARTITIONS - len(existing), 0)]
    in_transaction(context.database, partial(prepare_move, months=months), sleep=context.sleep)
    in_transaction(context.database, begin_move, sleep=context.sleep)
    log.info("moving events of %d months out of the default partition", len(starts))


def _between(starts: set[datetime], context: MaintenanceContext) -> set[datetime]:
    oldest = month_start(context.clock.now(), months_later=-RECENT_MONTHS)
    month = min((month for month in starts if month >= oldest), default=None)
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
            raise TransientError(f"copied {copied} more events out of the default partition; the next run continues")


def _finish(context: MaintenanceContext) -> int:
    with context.database.transaction() as connection:
        size_bytes = moving_default_size_bytes(connection)
    if size_bytes > MAX_DEFAULT_BYTES:
        _discard(context)
        raise TransientError("events of further months arrived during the move; the next run moves them")
    months = in_transaction(context.database, finish_move, sleep=context.sleep)
    _discard(context)
    log.info("moved %d months out of the default partition", months)
    return months


def _discard(context: MaintenanceContext) -> None:
    in_transaction(context.database, discard_move, sleep=context.sleep)
