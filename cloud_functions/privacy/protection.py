"""What an operator does about protected plates: protect a site, stop it, change keys, destroy them.

Each step may be done again: what was interrupted is finished by asking once more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from pydantic_core import from_json, to_json

from cloud_functions.db.connect import Database
from cloud_functions.db.plates.conversion import ConversionPosition, FullEventRow, convert_events, purge_unread_plates
from cloud_functions.db.sites.settings import add_key, delete_keys, list_keys, rewrap_key, set_protected
from cloud_functions.plates.master_keys import MasterKeys
from cloud_functions.plates.normal_form import with_normal_form
from cloud_functions.plates.site_key import SiteKey
from cloud_functions.privacy.sealing import seal_row, token_in
from cloud_functions.privacy.vault import PlateVault
from shared.errors import ConfigurationError, PermanentError

log = logging.getLogger(__name__)

_AT_ONCE: Final = 1000
_BEGINNING: Final = ConversionPosition(datetime(1970, 1, 1, tzinfo=UTC), 0)


class Protection:
    """Works on one database with one master key."""

    def __init__(self, *, database: Database, master_keys: MasterKeys) -> None:
        self._database = database
        self._master_keys = master_keys
        self._vault = PlateVault(master_keys=master_keys)

    def protect(self, site_id: str) -> int:
        """Seal the site's plates from now on, and then those that are stored; return how many of these there were."""
        with self._database.transaction() as connection:
            if not any(key.site_id == site_id for key in list_keys(connection)):
                add_key(connection, site_id, self._master_keys.new_key(site_id)[1])
            self._vault.refresh(connection)
            self._vault.key_of(site_id)  # out of reach, it must protect nothing
            set_protected(connection, site_id, protected=True)
        return self._convert(site_id, sealed=False)

    def unprotect(self, site_id: str) -> int:
        """Stop sealing the site's plates, and open those that are stored; return how many could be."""
        with self._database.transaction() as connection:
            set_protected(connection, site_id, protected=False)
            self._vault.refresh(connection)
        return self._convert(site_id, sealed=True)

    def renew(self, site_id: str) -> int:
        """Give the site a new data key for what is to come; what is stored stays under its own. Return its number."""
        _, wrapped = self._master_keys.new_key(site_id)
        with self._database.transaction() as connection:
            return add_key(connection, site_id, wrapped)

    def rewrap(self, *, old: MasterKeys) -> int:
        """Wrap every site's keys, which ``old`` unwraps, under the master key in use; return how many."""
        with self._database.transaction() as connection:
            keys = list_keys(connection)
            for one in keys:
                data_key = old.unwrap(one.key, one.site_id)
                rewrap_key(connection, one.key_id, self._master_keys.wrap(data_key, one.site_id))
        return len(keys)

    def destroy(self, site_id: str) -> int:
        """Delete the site's keys, so that nobody reads its plates of until now again; return how many keys.

        A site that stays protected gets a new one for what is to come.
        """
        with self._database.transaction() as connection:
            self._vault.refresh(connection)
            gone = delete_keys(connection, site_id)
            if self._vault.protects(site_id):
                add_key(connection, site_id, self._master_keys.new_key(site_id)[1])
        return gone

    def _convert(self, site_id: str, *, sealed: bool) -> int:
        change = self._opened if sealed else _sealer(self._vault.key_of(site_id))
        done, place = 0, _BEGINNING
        while place is not None:
            with self._database.transaction() as connection:
                place, number = convert_events(
                    connection, site_id, sealed=sealed, after=place, limit=_AT_ONCE, change=change
                )
            done += number
        with self._database.transaction() as connection:
            purge_unread_plates(connection)
        return done

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
        right = with_normal_form(from_json(data))
        return event._replace(event_data_json=data if right is None else to_json(right).decode(), plate_sealed=None)


def _sealer(key: SiteKey) -> Callable[[FullEventRow], FullEventRow]:
    return lambda event: seal_row(event, key)[0]


def require_days(text: str) -> int | None:
    """Return a number of days from 1 on, None for ``none``; raise ConfigurationError for anything else."""
    if text == "none":
        return None
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 36_500:
        return int(text)
    raise ConfigurationError(f"{text!r} is no number of days: 1 to 36500, or none")
