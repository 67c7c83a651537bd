"""Bounds how many class and zone names a site may use in a month.

Counts are kept by name, hour and camera, so names without end (a device that makes one for each object, or one that is
broken or hostile) would fill the database with counts. The names of a month are known from those very counts. An event
whose names are all known costs one look into a set; only one that brings a new name is stored apart, in a transaction
that holds a lock, counts the names there are, and rejects what is beyond the bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import psycopg

from cloud_functions.ingest.validation import ValidatedEvent

Label = tuple[str, str]
"""Kind (``class`` or ``zone``) and name, as the counts have them."""
SiteMonth = tuple[str, str]
"""A site and a UTC month (``2026-11``)."""

MOST_REMEMBERED: Final = 2000
"""Sites and months whose names are kept in memory; beyond it they are read anew."""
_LOCK: Final = 8_459_402_174
_NAMES_OF: Final = """
SELECT DISTINCT site_id, asked.month, kind, label
FROM unnest(%s::text[], %s::text[]) AS asked (site, month)
JOIN event_label_counts_monthly AS c ON c.site_id = site AND c.month = (asked.month || '-01T00:00:00Z')::timestamptz
WHERE events > 0
"""


class Admission(NamedTuple):
    """Which events with new names may be stored, which not, and the names there will be."""

    accepted: list[ValidatedEvent]
    refused: list[ValidatedEvent]
    names: dict[SiteMonth, set[Label]]


class SiteLabelLimit:
    """The names in use, as far as this process has seen them. Not for use by two threads at a time."""

    def __init__(self, *, most: int) -> None:
        """``most`` names, classes and zones together, are accepted a site and month."""
        self.most = most
        self._known: dict[SiteMonth, set[Label]] = {}

    def with_known(self, events: Iterable[ValidatedEvent], others: list[ValidatedEvent]) -> Iterator[ValidatedEvent]:
        """Give out the events whose names are all known; note the others."""
        known = self._known
        for event in events:
            if not event.labels or known.get(_site_month(event), _NO_LABELS).issuperset(event.labels):
                yield event
            else:
                others.append(event)

    def admit(self, connection: psycopg.Connection[Any], events: Sequence[ValidatedEvent]) -> Admission:
        """Decide about events with new names, in the transaction that stores those accepted; call it first in it."""
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        keys = sorted({_site_month(event) for event in events})
        names: dict[SiteMonth, set[Label]] = {key: set() for key in keys}
        for site_id, month, kind, label in connection.execute(
            _NAMES_OF, [list(part) for part in zip(*keys, strict=True)]
        ):
            names[site_id, month].add((kind, label))
        accepted: list[ValidatedEvent] = []
        refused: list[ValidatedEvent] = []
        for event in events:
            there = names[_site_month(event)]
            more = event.labels - there
            if more and len(there) + len(more) > self.most:
                refused.append(event)
            else:
                there |= more
                accepted.append(event)
        return Admission(accepted, refused, names)

    def remember(self, names: dict[SiteMonth, set[Label]]) -> None:
        """Keep the names of months whose events are committed."""
        if len(self._known) + len(names) > MOST_REMEMBERED:
            self._known.clear()
        self._known |= names


_NO_LABELS: Final[frozenset[Label]] = frozenset()


def _site_month(event: ValidatedEvent) -> SiteMonth:
    return event.row.site_id, event.row.timestamp[:7]
