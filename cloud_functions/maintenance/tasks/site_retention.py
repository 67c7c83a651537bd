"""Retention for each site: deletes expired events in small transactions; triggers update the counts."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from cloud_functions.db.maintenance.purge import purge_zero_counts
from cloud_functions.db.sites.retention import delete_expired, expired_days
from cloud_functions.db.sites.settings import Site, list_sites
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.maintenance.tasks.retention import ROWS_PER_DELETE, in_batches
from shared.errors import TransientError, VedetteError

log = logging.getLogger(__name__)

_PLATES: Final = "anpr"


def delete_expired_of_sites(context: MaintenanceContext) -> int:
    """Delete the events that each site's own retention has expired; return how many.

    Raises:
        TransientError: deletion failed for the named sites; the other sites are done.
    """
    with context.database.transaction() as connection:
        sites = list_sites(connection)
    deleted = 0
    failed: list[str] = []
    for site in sites:
        try:
            deleted += _delete_of(context, site)
        except VedetteError as error:
            log.warning("retention of site %s failed: %s", site.site_id, error)
            failed.append(site.site_id)
    if failed:
        raise TransientError(f"retention failed for sites {', '.join(failed)}")
    return deleted


def purge_unread_plates(context: MaintenanceContext) -> int:
    """Delete plates without reads from the list of plates; return 0."""
    in_batches(context, partial(purge_zero_counts, table="plates", limit=ROWS_PER_DELETE))
    return 0


def _delete_of(context: MaintenanceContext, site: Site) -> int:
    now = context.clock.now()
    deleted = 0
    for days, event_type in ((site.event_retention_days, None), (site.plate_retention_days, _PLATES)):
        if days is not None:
            deleted += _delete(context, site.site_id, before=now - timedelta(days=days), event_type=event_type)
    if deleted:
        log.info("deleted %d expired events of site %s", deleted, site.site_id)
    return deleted


def _delete(context: MaintenanceContext, site_id: str, *, before: datetime, event_type: str | None) -> int:
    with context.database.transaction() as connection:
        expired = expired_days(connection, site_id, before=before, event_type=event_type)
    return sum(
        in_batches(context, partial(delete_expired, site_id=site_id, expired=day, before=before, limit=ROWS_PER_DELETE))
        for day in expired
    )
