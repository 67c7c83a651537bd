"""The maintenance tasks: the steps of each, and when AWS and the one-machine stack run it.

This table is the only place that lists the tasks. The local scheduler is derived from it, and tests compare it with
``template.yaml`` and ``docs/guide/operations.md``. All times are in UTC. Steps are independent and may run at any time
and any number of times. If one step fails, the other steps of its task still run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

from cloud_functions.db.cameras.health import purge_old_health
from cloud_functions.db.commands.record import purge_old_commands
from cloud_functions.db.devices.gaps import claim_due_gaps, give_up_old_gaps, reachable_devices_with_due_gaps
from cloud_functions.db.devices.outages import purge_old_outages
from cloud_functions.db.maintenance.purge import TABLES_WITH_ZERO_COUNTS, purge_old_gaps, purge_zero_counts
from cloud_functions.db.replays.record import purge_old_replays
from cloud_functions.db.stalled_sessions import terminate_stalled_copies
from cloud_functions.db.stream.connections import purge_tickets
from cloud_functions.db.stream.order import KEPT, purge_stream
from cloud_functions.db.webhooks.log import purge_excess_deliveries, purge_old_deliveries
from cloud_functions.device_commands import request_resends
from cloud_functions.maintenance.cron import Rate, Schedule, parse_schedule
from cloud_functions.maintenance.tasks.audit import remove_old_audit_entries
from cloud_functions.maintenance.tasks.camera_snapshots import (
    complete_snapshots,
    delete_expired_snapshots,
    give_up_snapshots,
)
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.maintenance.tasks.health_report import store_report
from cloud_functions.maintenance.tasks.objects import (
    delete_orphaned_objects,
    find_missing_objects,
    find_orphaned_objects,
)
from cloud_functions.maintenance.tasks.optimise import merge_pending_lists, rebuild_indexes, renew_statistics
from cloud_functions.maintenance.tasks.partitions import empty_default_partition, make_months_ahead
from cloud_functions.maintenance.tasks.pictures import delete_old_pictures, remove_pictures
from cloud_functions.maintenance.tasks.replays import send_replays
from cloud_functions.maintenance.tasks.retention import (
    ROWS_PER_DELETE,
    delete_old_strays,
    in_batches,
)
from cloud_functions.maintenance.tasks.retention_policies import (
    delete_above_size,
    delete_expired_events,
    drop_expired_months,
)
from cloud_functions.maintenance.tasks.silent_devices import report_silent_devices, send_cloud_events
from cloud_functions.maintenance.tasks.site_retention import delete_expired_of_sites, purge_unread_plates

log = logging.getLogger(__name__)

EVERY_MINUTE: Final = Rate(timedelta(minutes=1))
_CLOSED_GAPS_KEPT: Final = timedelta(days=90)
_OUTAGES_KEPT: Final = timedelta(days=90)
_COMMANDS_KEPT: Final = timedelta(days=30)
_DELIVERIES_KEPT: Final = timedelta(days=3)
_DELIVERIES_OF_WEBHOOK: Final = 10_000
_REPLAYS_KEPT: Final = timedelta(days=30)
_STALLED_AFTER_S: Final = 60.0


class Step(NamedTuple):
    """One step of a task; ``run`` returns the number of things it changed."""

    name: str
    run: Callable[[MaintenanceContext], int]


class Task(NamedTuple):
    """The steps of a task and its schedule."""

    steps: Sequence[Step]
    expression: str
    """The schedule, as EventBridge Scheduler writes it; ``template.yaml`` contains the same text."""

    @property
    def schedule(self) -> Schedule:
        """The due times; the one-machine scheduler keeps them."""
        return parse_schedule(self.expression)

    @property
    def is_frequent(self) -> bool:
        """Whether it runs each minute. The one-machine scheduler runs other tasks beside it, because they take long."""
        return self.schedule == EVERY_MINUTE


def request_due_gaps(context: MaintenanceContext) -> int:
    """Request the missing events of due gaps from devices that can answer; return the number of requests."""
    with context.database.transaction() as connection:
        devices = reachable_devices_with_due_gaps(connection)
        resends = claim_due_gaps(connection, devices, context.gaps) if devices else []
    return request_resends(context.commands, resends, clock=context.clock)


def mark_old_gaps_lost(context: MaintenanceContext) -> int:
    """Mark gaps as lost that have been open too long; return 0, because no device is asked."""
    lost = in_batches(context, lambda connection: give_up_old_gaps(connection, context.gaps, limit=ROWS_PER_DELETE))
    if lost:
        log.warning("%d sequence gaps are lost: the events did not arrive in time", lost)
    return 0


def end_stalled_sessions(context: MaintenanceContext) -> int:
    """Terminate sessions of this project whose client stopped in the middle of COPY; return 0."""
    with context.database.transaction() as connection:
        terminated = terminate_stalled_copies(connection, after_s=_STALLED_AFTER_S)
    if terminated:
        log.warning("terminated %d sessions whose client stopped sending: pids %s", len(terminated), terminated)
    return 0


def delete_zero_counts(context: MaintenanceContext) -> int:
    """Delete count rows whose count is zero; return how many."""
    return sum(
        in_batches(context, partial(purge_zero_counts, table=table, limit=ROWS_PER_DELETE))
        for table in TABLES_WITH_ZERO_COUNTS
    )


def delete_closed_gaps(context: MaintenanceContext) -> int:
    """Delete the records of gaps that were closed 90 days ago; return how many."""
    return in_batches(context, partial(purge_old_gaps, older_than=_CLOSED_GAPS_KEPT, limit=ROWS_PER_DELETE))


def delete_old_health(context: MaintenanceContext) -> int:
    """Delete the health records of cameras that are older than ``HEALTH_RETENTION_DAYS``; return how many."""
    kept = timedelta(days=context.settings.health_retention_days)
    return in_batches(context, partial(purge_old_health, older_than=kept, limit=ROWS_PER_DELETE))


def delete_old_commands(context: MaintenanceContext) -> int:
    """Delete commands to devices, with their replies, that are older than 30 days; return how many."""
    return in_batches(context, partial(purge_old_commands, older_than=_COMMANDS_KEPT, limit=ROWS_PER_DELETE))


def delete_old_outages(context: MaintenanceContext) -> int:
    """Delete the outages of devices that ended more than 90 days ago; return how many."""
    return in_batches(context, partial(purge_old_outages, older_than=_OUTAGES_KEPT, limit=ROWS_PER_DELETE))


def delete_old_deliveries(context: MaintenanceContext) -> int:
    """Delete finished deliveries to webhooks that are older than three days, and all whose event was deleted."""
    return in_batches(context, partial(purge_old_deliveries, older_than=_DELIVERIES_KEPT, limit=ROWS_PER_DELETE))


def delete_excess_deliveries(context: MaintenanceContext) -> int:
    """Delete the finished deliveries of each webhook that are not among its newest 10,000; return how many."""
    return in_batches(context, partial(purge_excess_deliveries, kept=_DELIVERIES_OF_WEBHOOK, limit=ROWS_PER_DELETE))


def delete_old_replays(context: MaintenanceContext) -> int:
    """Delete replays that ended more than 30 days ago; return how many."""
    return in_batches(context, partial(purge_old_replays, older_than=_REPLAYS_KEPT, limit=ROWS_PER_DELETE))


def delete_old_stream(context: MaintenanceContext) -> int:
    """Delete the entries of the event stream that no cursor can be resumed from any more, and unused tickets."""
    tickets = in_batches(context, partial(purge_tickets, limit=ROWS_PER_DELETE))
    return tickets + in_batches(context, partial(purge_stream, older_than=KEPT, limit=ROWS_PER_DELETE))


TASKS: Final[Mapping[str, Task]] = {
    "partitions": Task(
        (Step("default", empty_default_partition), Step("ahead", make_months_ahead)),
        expression="cron(10 1 * * ? *)",
    ),
    "snapshots": Task(
        (
            Step("given_up", give_up_snapshots),
            Step("expired", delete_expired_snapshots),
            Step("pictures", remove_pictures),
        ),
        expression="cron(0 2 * * ? *)",
    ),
    "retention": Task(
        (
            Step("sites", delete_expired_of_sites),
            Step("months", drop_expired_months),
            Step("ages", delete_expired_events),
            Step("strays", delete_old_strays),
            Step("sizes", delete_above_size),
            Step("plates", purge_unread_plates),
            Step("pictures", remove_pictures),
            Step("old_pictures", delete_old_pictures),
            Step("audit", remove_old_audit_entries),
        ),
        expression="cron(30 2 * * ? *)",
    ),
    "health_records": Task((Step("old", delete_old_health),), expression="cron(0 3 ? * SUN *)"),
    "tidy": Task(
        (
            Step("counts", delete_zero_counts),
            Step("gaps", delete_closed_gaps),
            Step("commands", delete_old_commands),
            Step("outages", delete_old_outages),
            Step("replays", delete_old_replays),
            Step("stream", delete_old_stream),
        ),
        expression="cron(30 3 * * ? *)",
    ),
    "optimise": Task(
        (
            Step("statistics", renew_statistics),
            Step("pending", merge_pending_lists),
            Step("indexes", rebuild_indexes),
        ),
        expression="cron(30 4 * * ? *)",
    ),
    "objects": Task(
        (
            Step("orphaned", find_orphaned_objects),
            Step("missing", find_missing_objects),
            Step("delete", delete_orphaned_objects),
        ),
        expression="cron(0 5 * * ? *)",
    ),
    "pictures": Task(
        (Step("unshown", partial(remove_pictures, late=False)),),
        expression="rate(1 minute)",
    ),
    "webhooks": Task(
        (Step("old", delete_old_deliveries), Step("excess", delete_excess_deliveries)),
        expression="rate(1 hour)",
    ),
    "replays": Task((Step("send", send_replays),), expression="rate(1 minute)"),
    "report": Task(
        (Step("store", store_report),),
        expression="cron(0 4 * * ? *)",
    ),
    "devices": Task(
        (Step("silent", report_silent_devices), Step("send", send_cloud_events)),
        expression="rate(1 minute)",
    ),
    "gaps": Task(
        (
            Step("frozen", end_stalled_sessions),
            Step("lost", mark_old_gaps_lost),
            Step("resends", request_due_gaps),
            Step("uploads", complete_snapshots),
        ),
        expression="rate(1 minute)",
    ),
}
"""By the name that a schedule passes as ``{"task": ...}``. An event without a name runs all tasks, in this order."""

RETRY_TASK: Final = "gaps"
"""The most frequent task; each of its runs also repeats the tasks that failed before."""

SWEEP_TASK: Final = "devices"
"""After each of its runs, the ages of the canaries' receipts are recorded."""
