"""Retention per site: what a site does not want to keep any longer goes a piece at a time; counts follow."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from cloud_functions.db.maintenance.purge import purge_zero_counts
from cloud_functions.db.sites.retention import delete_expired, expired_days
from cloud_functions.db.sites.settings import Site, list_sites
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.maintenance.tasks.retention import AT_ONCE, in_batches
from shared.errors import TransientError, VedetteError

log = logging.getLogger(__name__)

_PLATES: Final = "anpr"


def delete_expired_of_sites(context: MaintenanceContext) -> int:
    """Delete what each site's own retention does not keep; return how many events went.

    Raises:
        TransientError: it did not work for some of the sites, which are named; the others' was done.
    """
    with context.database.transaction() as connection:
        sites = list_sites(connection)
    gone = 0
    failed: list[str] = []
    for site in sites:
        try:
            gone += _delete_of(context, site)
        except VedetteError as error:
            log.warning("retention of site %s failed: %s", site.site_id, error)
            failed.append(site.site_id)
    if failed:
        raise TransientError(f"events of these sites are kept too long: {', '.join(failed)}")
    return gone


def purge_unread_plates(context: MaintenanceContext) -> int:
    """Delete plates that no read is left of from the list of all plates: none must outlive its reads. Return 0."""
    in_batches(context, partial(purge_zero_counts, table="plates", limit=AT_ONCE))
    return 0


def _delete_of(context: MaintenanceContext, site: Site) -> int:
    now = context.clock.now()
    gone = 0
    for days, event_type in ((site.event_retention_days, None), (site.plate_retention_days, _PLATES)):
        if days is not None:
            gone += _delete(context, site.site_id, before=now - timedelta(days=days), event_type=event_type)
    if gone:
        log.info("deleted %d events of site %s: older than it keeps them", gone, site.site_id)
    return gone


def _delete(context: MaintenanceContext, site_id: str, *, before: datetime, event_type: str | None) -> int:
    with context.database.transaction() as connection:
        expired = expired_days(connection, site_id, before=before, event_type=event_type)
    return sum(
        in_batches(context, partial(delete_expired, site_id=site_id, expired=day, before=before, limit=AT_ONCE))
        for day in expired
    )
