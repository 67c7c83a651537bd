"""An operator's actions on protected plates: protect or unprotect a site, change its keys, destroy them.

Each action can be repeated; repeating an interrupted one completes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from pydantic_core import from_json, to_json

from cloud_functions.db.connect import Database
from cloud_functions.db.plates.conversion import ConversionPosition, FullEventRow, convert_events, purge_unread_plates
from cloud_functions.db.retention.protection import holds_of_plates, lock_holds
from cloud_functions.db.sites.settings import add_key, delete_keys, list_keys, rewrap_key, set_protected
from cloud_functions.plates.master_keys import MasterKeys, rewrapped
from cloud_functions.plates.normal_form import with_normal_form
from cloud_functions.plates.site_key import SiteKey
from cloud_functions.privacy.camera_passwords import rewrap_camera_keys
from cloud_functions.privacy.sealing import seal_row, token_in
from cloud_functions.privacy.vault import PlateVault
from cloud_functions.privacy.webhook_secrets import rewrap_webhook_secrets
from shared.errors import ConfigurationError, PermanentError

log = logging.getLogger(__name__)

_BATCH_EVENTS: Final = 1000
_START: Final = ConversionPosition(datetime(1970, 1, 1, tzinfo=UTC), 0)


class Protection:
    """Actions on one database with one master key."""

    def __init__(self, *, database: Database, master_keys: MasterKeys) -> None:
        self._database = database
        self._master_keys = master_keys
        self._vault = PlateVault(master_keys=master_keys)

    def protect(self, site_id: str) -> int:
        """Seal the site's new plates, then the stored ones; return how many stored reads were sealed."""
        with self._database.transaction() as connection:
            if not any(key.site_id == site_id for key in list_keys(connection)):
                add_key(connection, site_id, self._master_keys.new_key(site_id)[1])
            self._vault.refresh(connection)
            self._vault.key_of(site_id)  # fail before the site is marked, if the key is unavailable
            set_protected(connection, site_id, protected=True)
        return self._convert(site_id, sealed=False)

    def unprotect(self, site_id: str) -> int:
        """Stop sealing the site's plates and decrypt the stored ones; return how many could be decrypted."""
        with self._database.transaction() as connection:
            set_protected(connection, site_id, protected=False)
            self._vault.refresh(connection)
        return self._convert(site_id, sealed=True)

    def renew(self, site_id: str) -> int:
        """Create a new data key for the site's future plates and return its id; stored plates keep their keys."""
        _, wrapped = self._master_keys.new_key(site_id)
        with self._database.transaction() as connection:
            return add_key(connection, site_id, wrapped)

    def rewrap(self, *, old: MasterKeys) -> int:
        """Unwrap all keys, of sites, camera passwords and webhooks, with ``old``, and wrap them with the current one.

        Return how many.
        """
        with self._database.transaction() as connection:
            keys = list_keys(connection)
            for stored in keys:
                again = rewrapped(stored.key, stored.site_id, old=old, new=self._master_keys)
                rewrap_key(connection, stored.key_id, again)
            others = rewrap_camera_keys(connection, old=old, new=self._master_keys)
            others += rewrap_webhook_secrets(connection, old=old, new=self._master_keys)
        return len(keys) + others

    def destroy(self, site_id: str) -> int:
        """Delete the site's keys and return how many; its stored plates can never be read again.

        A site that stays protected gets a new key for its future plates. Raises ConfigurationError if a legal hold
        protects plate reads of the site.
        """
        with self._database.transaction() as connection:
            lock_holds(connection)
            if holds := holds_of_plates(connection, site_id):
                raise ConfigurationError(
                    f"plate reads of site {site_id} are on legal hold: {', '.join(holds)}; nothing was destroyed"
                )
            self._vault.refresh(connection)
            deleted = delete_keys(connection, site_id)
            if self._vault.protects(site_id):
                add_key(connection, site_id, self._master_keys.new_key(site_id)[1])
        return deleted

    def _convert(self, site_id: str, *, sealed: bool) -> int:
        change = self._opened if sealed else _sealer(self._vault.key_of(site_id))
        converted, position = 0, _START
        while position is not None:
            with self._database.transaction() as connection:
                position, number = convert_events(
                    connection, site_id, sealed=sealed, after=position, limit=_BATCH_EVENTS, change=change
                )
            converted += number
        with self._database.transaction() as connection:
            purge_unread_plates(connection)
        return converted

    def _opened(self, event: FullEventRow) -> FullEventRow | None:
        token = token_in(event.event_data_json)
        try:
            if token is None or event.plate_sealed is None:
                return None
            data = self._vault.open(event.plate_sealed, event_id=str(event.event_id), token=token)
        except PermanentError as error:
            log.warning("%s", error)
            return None
        if data is None:
            return None
        corrected = with_normal_form(from_json(data))
        data = data if corrected is None else to_json(corrected).decode()
        return event._replace(event_data_json=data, plate_sealed=None)


def _sealer(key: SiteKey) -> Callable[[FullEventRow], FullEventRow]:
    return lambda event: seal_row(event, key)[0]


def require_days(text: str) -> int | None:
    """Return a number of days (1 to 36500), or None for ``none``; raise ConfigurationError for anything else."""
    if text == "none":
        return None
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 36_500:
        return int(text)
    raise ConfigurationError(f"{text!r} is not a number of days: give 1 to 36500, or none")
