"""Stores the health report of each day."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from cloud_functions.db.health_report import build_health_report, purge_old_reports, store_health_report
from cloud_functions.maintenance.tasks.context import MaintenanceContext

log = logging.getLogger(__name__)

_KEPT: Final = timedelta(days=400)


def store_report(context: MaintenanceContext) -> int:
    """Store the report of today (UTC) in place of an earlier one, and delete those older than 400 days; return 1."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        report = build_health_report(connection, now=now)
        store_health_report(connection, now.date(), report)
        purge_old_reports(connection, now=now, older_than=_KEPT)
    cameras, devices = report["cameras"]["by_status"], report["devices"]
    log.info("health report: cameras %s, devices %s, gaps %s", cameras, devices, report["gaps"])
    for task in report["maintenance"]["tasks"]:
        if task["status"] in ("failed", "late"):
            log.warning(
                "maintenance task %s is %s: last success %s", task["task"], task["status"], task["last_success"]
            )
    return 1
