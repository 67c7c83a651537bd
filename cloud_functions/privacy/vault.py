"""The sites whose plates are protected, and their keys. Keys are unwrapped on first use and cached.

Ingest and the API each have one vault. Each transaction that uses it checks the version of the sites (one row) and
reloads them after a change; deleted keys leave the cache then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass, field

from cloud_functions.db.sites.settings import Site, StoredKey, list_keys, list_sites, sites_version
from cloud_functions.db.types import Connection
from cloud_functions.plates.master_keys import MasterKeys
from cloud_functions.plates.site_key import SiteKey, sealed_under
from shared.errors import ConfigurationError, PermanentError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    version: int = 0
    sites: dict[str, Site] = field(default_factory=dict[str, Site])
    keys: dict[int, StoredKey] = field(default_factory=dict[int, StoredKey])


class PlateVault:
    """The keys of protected plates. Safe to use from several threads; contains no plates."""

    def __init__(self, *, master_keys: MasterKeys | None = None) -> None:
        """Without ``master_keys``, protected plates cannot be sealed, searched or opened."""
        self._master_keys = master_keys
        self._known = _Known()
        self._unwrapped: dict[int, SiteKey] = {}
        self._lock = threading.Lock()

    @property
    def can_seal(self) -> bool:
        """Whether this deployment has a master key."""
        return self._master_keys is not None

    def refresh(self, connection: Connection) -> None:
        """Reload the sites and keys if they have changed since the last call."""
        version = sites_version(connection)
        if version == self._known.version:
            return
        sites = {site.site_id: site for site in list_sites(connection)}
        keys = {key.key_id: key for key in list_keys(connection)}
        with self._lock:
            self._known = _Known(version, sites, keys)
            self._unwrapped = {number: key for number, key in self._unwrapped.items() if number in keys}

    def protects(self, site_id: str) -> bool:
        """Return whether the site's plates are sealed."""
        site = self._known.sites.get(site_id)
        return site is not None and site.plates_protected

    def protected_sites(self) -> list[str]:
        """Return the sites whose plates are sealed."""
        return [site_id for site_id, site in self._known.sites.items() if site.plates_protected]

    @property
    def has_keys(self) -> bool:
        """Whether any site has a key, so that sealed plates may exist."""
        return bool(self._known.keys)

    def has_key_of(self, site_id: str) -> bool:
        """Return whether the site has a key, even if it cannot be unwrapped."""
        return any(key.site_id == site_id for key in self._known.keys.values())

    def key_of(self, site_id: str) -> SiteKey:
        """Return the key that seals a site's plates.

        Raises:
            ConfigurationError, PermanentError, TransientError: the site has no key, or it cannot be unwrapped.
        """
        numbers = [key.key_id for key in self._known.keys.values() if key.site_id == site_id]
        if not numbers:
            raise ConfigurationError(f"site {site_id} has no key; create one with: vedette-plates protect {site_id}")
        return self._key(max(numbers))

    def tokens(self, plate: str, *, site_id: str | None = None, without: Collection[str] = frozenset()) -> list[str]:
        """Return the tokens of a plate (in normal form): one for each key of the sites, except ``without``."""
        keys = [
            key for key in self._known.keys.values() if site_id in (None, key.site_id) and key.site_id not in without
        ]
        return [self._key(key.key_id).token(plate) for key in keys]

    def open(self, sealed: bytes, *, event_id: str, token: str) -> str | None:
        """Return an event's data as JSON, or None if its key was destroyed.

        Raises:
            PermanentError: the sealed data was changed or belongs to another event.
            ConfigurationError, TransientError: the key cannot be unwrapped.
        """
        number = sealed_under(sealed)
        if number not in self._known.keys:
            return None
        return self._key(number).open(sealed, event_id=event_id, token=token)

    def _key(self, number: int) -> SiteKey:
        unwrapped = self._unwrapped.get(number)
        if unwrapped is not None:
            return unwrapped
        stored = self._known.keys[number]
        if self._master_keys is None:
            raise ConfigurationError("PLATE_MASTER_KEY is not set, and there are protected plates")
        data_key = self._master_keys.unwrap(stored.key, stored.site_id)
        site_key = SiteKey(key_id=number, site_id=stored.site_id, data_key=data_key)
        with self._lock:
            if number not in self._known.keys:
                raise PermanentError(f"the key of site {stored.site_id} was destroyed")
            self._unwrapped[number] = site_key
        return site_key
