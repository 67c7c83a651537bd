"""Retention per site: what a site does not want to keep any longer goes a piece at a time; counts follow."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from cloud_functions.db.connect import Database
from cloud_functions.db.plate_conversion import purge_unread_plates
from cloud_functions.db.site_retention import delete_expired, expired_days
from cloud_functions.db.sites import Site, list_sites

log = logging.getLogger(__name__)

_DELETED_AT_ONCE: Final = 5_000
_PLATES: Final = "anpr"


def forget_of_sites(database: Database, *, now: datetime) -> int:
    """Delete what each site's own retention does not keep; return how many events went."""
    with database.transaction() as connection:
        sites = list_sites(connection)
    gone = sum(_forget_of(database, site, now=now) for site in sites)
    if gone:
        with database.transaction() as connection:
            purge_unread_plates(connection)  # a plate must not outlive its reads
    return gone


def _forget_of(database: Database, site: Site, *, now: datetime) -> int:
    gone = 0
    for days, event_type in ((site.event_retention_days, None), (site.plate_retention_days, _PLATES)):
        if days is not None:
            gone += _delete(database, site.site_id, before=now - timedelta(days=days), event_type=event_type)
    if gone:
        log.info("deleted %d events of site %s: older than it keeps them", gone, site.site_id)
    return gone


def _delete(database: Database, site_id: str, *, before: datetime, event_type: str | None) -> int:
    with database.transaction() as connection:
        expired = expired_days(connection, site_id, before=before, event_type=event_type)
    gone = 0
    for day in expired:
        deleted = _DELETED_AT_ONCE
        while deleted == _DELETED_AT_ONCE:
            with database.transaction() as connection:
                deleted = delete_expired(connection, site_id, day, before=before, limit=_DELETED_AT_ONCE)
            gone += deleted
    return gone
