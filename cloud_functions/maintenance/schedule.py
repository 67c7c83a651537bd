"""What must be done now and then: tasks, each of steps that do not depend on one another.

Every step may be run at any time and any number of times. Where one fails, the others of its task are run all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

from cloud_functions.db.devices.gaps import claim_due_gaps, give_up_old_gaps, reachable_devices_with_due_gaps
from cloud_functions.db.maintenance.purge import TABLES_WITH_ZERO_COUNTS, purge_old_gaps, purge_zero_counts
from cloud_functions.db.stalled_sessions import terminate_stalled_copies
from cloud_functions.device_commands import request_resends
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.maintenance.tasks.partitions import empty_default_partition, make_months_ahead
from cloud_functions.maintenance.tasks.pictures import delete_expired_pictures, delete_old_pictures
from cloud_functions.maintenance.tasks.retention import AT_ONCE, delete_old_strays, drop_old_months, in_batches
from cloud_functions.maintenance.tasks.site_retention import delete_expired_of_sites, purge_unread_plates

log = logging.getLogger(__name__)

_GAPS_KEPT: Final = timedelta(days=90)
_FROZEN_AFTER_S: Final = 60.0


class Step(NamedTuple):
    """One piece of a task; ``run`` returns how much it did."""

    name: str
    run: Callable[[MaintenanceContext], int]


def sweep_gaps(context: MaintenanceContext) -> int:
    """Ask devices that can answer for the gaps whose time has come; return how many were asked."""
    with context.database.transaction() as connection:
        devices = reachable_devices_with_due_gaps(connection)
        resends = claim_due_gaps(connection, devices, context.gaps) if devices else []
    return request_resends(context.commands, resends, clock=context.clock)


def give_up_gaps(context: MaintenanceContext) -> int:
    """Mark gaps lost that have been open for too long; return 0, since nobody is asked."""
    given_up = in_batches(context, lambda connection: give_up_old_gaps(connection, context.gaps, limit=AT_ONCE))
    if given_up:
        log.warning("%d gaps were given up: nothing came for too long", given_up)
    return 0


def end_frozen_sessions(context: MaintenanceContext) -> int:
    """End sessions of ours whose client stopped in the middle of sending events; return 0."""
    with context.database.transaction() as connection:
        ended = terminate_stalled_copies(connection, after_s=_FROZEN_AFTER_S)
    if ended:
        log.warning("ended %d sessions whose client had stopped sending: pids %s", len(ended), ended)
    return 0


def tidy_counts(context: MaintenanceContext) -> int:
    """Delete count rows that stand at zero; return how many."""
    return sum(
        in_batches(context, partial(purge_zero_counts, table=table, limit=AT_ONCE)) for table in TABLES_WITH_ZERO_COUNTS
    )


def tidy_gaps(context: MaintenanceContext) -> int:
    """Delete the record of gaps closed long ago; return how many."""
    return in_batches(context, partial(purge_old_gaps, older_than=_GAPS_KEPT, limit=AT_ONCE))


TASKS: Final[Mapping[str, Sequence[Step]]] = {
    "partitions": (Step("default", empty_default_partition), Step("ahead", make_months_ahead)),
    "retention": (
        Step("sites", delete_expired_of_sites),
        Step("months", drop_old_months),
        Step("strays", delete_old_strays),
        Step("plates", purge_unread_plates),
        Step("pictures", delete_expired_pictures),
        Step("old_pictures", delete_old_pictures),
    ),
    "gaps": (Step("frozen", end_frozen_sessions), Step("lost", give_up_gaps), Step("resends", sweep_gaps)),
    "tidy": (Step("counts", tidy_counts), Step("gaps", tidy_gaps)),
}
"""By the name that a schedule's input gives as ``{"task": …}``."""
