"""Protected plates in ingest: an ``anpr`` event of a protected site is sealed on its way into the table.

Afterwards only memory holds the plate, for watch-lists, until the batch is done. An event that cannot be sealed for now
(its key is out of reach) waits in the queue; its neighbours do not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from cloud_functions.ingest.sources.messages import Message, Rejection
from cloud_functions.ingest.validation import ValidatedEvent
from cloud_functions.plates.site_key import SiteKey
from cloud_functions.privacy.sealing import seal_dead_letter, seal_row
from cloud_functions.privacy.vault import PlateVault
from shared.errors import VedetteError

log = logging.getLogger(__name__)

_SEALED_TOGETHER: Final = 64
"""As many as COPY sends at a time. One plate after another is sealed quicker than one now and then."""


class PlateSealer:
    """Seals what must be sealed of one chunk."""

    def __init__(self, vault: PlateVault) -> None:
        """``vault`` must have been refreshed in the transaction that stores the chunk."""
        self._vault = vault
        self._keys: dict[str, SiteKey | None] = {}
        self.waiting: list[Message] = []
        """Those that could not be sealed now."""

    def sealed(self, events: Iterable[ValidatedEvent]) -> Iterator[ValidatedEvent]:
        """Give out the events as they may be stored, without those that must wait."""
        if not self._vault.protected_sites():
            yield from events
            return
        coming = iter(events)
        while group := list(islice(coming, _SEALED_TOGETHER)):
            yield from [event for event in map(self._sealed, group) if event is not None]

    def _sealed(self, event: ValidatedEvent) -> ValidatedEvent | None:
        if event.license_plate is None or not self._vault.protects(event.row.site_id):
            return event
        key = self._key(event.row.site_id)
        if key is None:
            self.waiting.append(event.message)
            return None
        row, token = seal_row(event.row, key)
        return event._replace(row=row, plate_token=token)

    def _key(self, site_id: str) -> SiteKey | None:
        if site_id not in self._keys:
            try:
                self._keys[site_id] = self._vault.key_of(site_id)
            except VedetteError as error:
                log.warning("plates of site %s wait, they cannot be protected now: %s", site_id, error)
                self._keys[site_id] = None
        return self._keys[site_id]


def seal_rejections(rejections: Sequence[Rejection], vault: PlateVault) -> tuple[list[Rejection], set[str]]:
    """Return what is to be kept of rejected messages, and the ids of those that cannot be sealed now.

    A message of a protected site may hold a plate, however broken it is: its body is sealed. One that does not tell its
    site is sealed as well, under the key of any. ``vault`` must have been refreshed.
    """
    kept: list[Rejection] = []
    failed: set[str] = set()
    for rejection in rejections:
        site_id = _site_to_seal_for(rejection, vault)
        if site_id is None:
            kept.append(rejection)
            continue
        try:
            kept.append(rejection._replace(body=seal_dead_letter(rejection.body, vault.key_of(site_id))))
        except VedetteError as error:
            log.warning("a rejected message of site %s waits, it cannot be protected now: %s", site_id, error)
            failed.add(rejection.message_id)
    return kept, failed


def _site_to_seal_for(rejection: Rejection, vault: PlateVault) -> str | None:
    levels = rejection.topic.split("/", 2)
    if len(levels) > 2:  # a device's own: what it may publish on is bound to its site
        return levels[1] if vault.protects(levels[1]) else None
    return min(vault.protected_sites(), default=None)
