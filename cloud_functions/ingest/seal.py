"""Seals the plates of protected sites: in ``anpr`` events before they are stored, and in rejected messages.

After sealing, the plate exists only in memory, until the watch-lists have matched it. An event that cannot be sealed
now, because its key is unavailable, returns to the event source; the other events of its batch are stored.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cloud_functions.ingest.sources.messages import Message, Rejection
from cloud_functions.ingest.validation import ValidatedEvent
from cloud_functions.plates.site_key import SiteKey
from cloud_functions.privacy.sealing import seal_dead_letter, seal_row
from cloud_functions.privacy.vault import PlateVault
from shared.errors import VedetteError

log = logging.getLogger(__name__)


class PlateSealer:
    """Seals the events of one chunk."""

    def __init__(self, vault: PlateVault) -> None:
        """``vault`` must be refreshed in the transaction that stores the chunk, before the first call of ``seal``."""
        self._vault = vault
        self._keys: dict[str, SiteKey | None] = {}
        self.deferred: list[Message] = []
        """Messages whose plates could not be sealed."""

    def seal(self, events: list[ValidatedEvent]) -> list[ValidatedEvent]:
        """Return the events as they may be stored, without those that could not be sealed.

        Sealing a group of events in one call is faster than sealing each between other work.
        """
        if not self._vault.protected_sites():
            return events
        return [event for event in map(self._seal, events) if event is not None]

    def _seal(self, event: ValidatedEvent) -> ValidatedEvent | None:
        if event.license_plate is None or not self._vault.protects(event.row.site_id):
            return event
        key = self._key(event.row.site_id)
        if key is None:
            self.deferred.append(event.message)
            return None
        row, token = seal_row(event.row, key)
        return event._replace(row=row, plate_token=token)

    def _key(self, site_id: str) -> SiteKey | None:
        if site_id not in self._keys:
            try:
                self._keys[site_id] = self._vault.key_of(site_id)
            except VedetteError as error:
                log.warning("deferring plates of site %s, which cannot be sealed now: %s", site_id, error)
                self._keys[site_id] = None
        return self._keys[site_id]


def seal_rejections(rejections: Sequence[Rejection], vault: PlateVault) -> tuple[list[Rejection], set[str]]:
    """Return the dead letters of rejected messages, and the ids of the messages that cannot be sealed now.

    Any message of a protected site may contain a plate, so its body is sealed. A message with an unknown site is sealed
    with the key of one of the protected sites. ``vault`` must have been refreshed.
    """
    dead_letters: list[Rejection] = []
    failed: set[str] = set()
    for rejection in rejections:
        site_id = _site_of_key(rejection, vault)
        if site_id is None:
            dead_letters.append(rejection)
            continue
        try:
            dead_letters.append(rejection._replace(body=seal_dead_letter(rejection.body, vault.key_of(site_id))))
        except VedetteError as error:
            log.warning("deferring a rejected message of site %s, which cannot be sealed now: %s", site_id, error)
            failed.add(rejection.message_id)
    return dead_letters, failed


def _site_of_key(rejection: Rejection, vault: PlateVault) -> str | None:
    """Return the site whose key seals the message, or None if the message needs no sealing."""
    levels = rejection.topic.split("/", 2)
    if len(levels) > 2:  # a device may only publish to topics of its own site
        return levels[1] if vault.protects(levels[1]) else None
    return min(vault.protected_sites(), default=None)
