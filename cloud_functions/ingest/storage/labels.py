"""Limits the number of class and zone names that a site may use in a month.

Counts are stored by name, hour and camera. Without a limit, a faulty or hostile device that invents a name for every
object would fill the database with counts. The names in use are read from those counts and cached. An event that uses
only known names costs one set lookup. Events with new names are stored in a second transaction that takes a lock,
counts the names in use, and refuses the events that would exceed the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import psycopg

from cloud_functions.ingest.validation import ValidatedEvent

Label = tuple[str, str]
"""Kind (``class`` or ``zone``) and name, as in the count tables."""
SiteMonth = tuple[str, str]
"""A site and a UTC month (``2026-11``)."""

MAX_CACHED_MONTHS: Final = 2000
"""Site months whose names are cached; beyond it the cache is cleared."""
_LOCK_ID: Final = 8_459_402_174
_NAMES_IN_USE: Final = """
SELECT DISTINCT site_id, requested.month, kind, label
FROM unnest(%s::text[], %s::text[]) AS requested (site, month)
JOIN event_label_counts_monthly AS c
  ON c.site_id = site AND c.month = (requested.month || '-01T00:00:00Z')::timestamptz
WHERE events > 0
"""
_NO_LABELS: Final[frozenset[Label]] = frozenset()


class Admission(NamedTuple):
    """The events with new names that may be stored, those that exceed the limit, and the names then in use."""

    accepted: list[ValidatedEvent]
    refused: list[ValidatedEvent]
    names: dict[SiteMonth, set[Label]]


class SiteLabelLimit:
    """The limit, and the names in use that this process has seen. Not thread-safe."""

    def __init__(self, *, limit: int) -> None:
        """``limit``: the maximum number of names, classes and zones together, for each site and month."""
        self.limit = limit
        self._known: dict[SiteMonth, set[Label]] = {}

    def split(self, events: Sequence[ValidatedEvent]) -> tuple[list[ValidatedEvent], list[ValidatedEvent]]:
        """Return the events whose names are all known, and the others."""
        known = self._known
        with_known: list[ValidatedEvent] = []
        others: list[ValidatedEvent] = []
        for event in events:
            labels = event.labels
            if not labels or known.get(_site_month(event), _NO_LABELS).issuperset(labels):
                with_known.append(event)
            else:
                others.append(event)
        return with_known, others

    def admit(self, connection: psycopg.Connection[Any], events: Iterable[ValidatedEvent]) -> Admission:
        """Apply the limit to events with new names. Call it first in the transaction that stores those accepted."""
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_ID])
        events = list(events)
        names = _names_in_use(connection, sorted({_site_month(event) for event in events}))
        accepted: list[ValidatedEvent] = []
        refused: list[ValidatedEvent] = []
        for event in events:
            in_use = names[_site_month(event)]
            new = event.labels - in_use
            if new and len(in_use) + len(new) > self.limit:
                refused.append(event)
            else:
                in_use |= new
                accepted.append(event)
        return Admission(accepted, refused, names)

    def remember(self, names: dict[SiteMonth, set[Label]]) -> None:
        """Cache the names of a committed transaction."""
        if len(self._known) + len(names) > MAX_CACHED_MONTHS:
            self._known.clear()
        self._known |= names


def _names_in_use(connection: psycopg.Connection[Any], months: Sequence[SiteMonth]) -> dict[SiteMonth, set[Label]]:
    names: dict[SiteMonth, set[Label]] = {month: set() for month in months}
    columns = [list(column) for column in zip(*months, strict=True)]
    for site_id, month, kind, label in connection.execute(_NAMES_IN_USE, columns):
        names[site_id, month].add((kind, label))
    return names


def _site_month(event: ValidatedEvent) -> SiteMonth:
    return event.row.site_id, event.row.timestamp[:7]
