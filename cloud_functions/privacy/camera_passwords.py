"""Seals the passwords of cameras under the deployment's master key, and opens them again.

A password is sealed with AES-256-GCM and bound to its camera, so a sealed password that is copied to another row cannot
be opened there. The data key is wrapped by the same master key as those of protected plates (``PLATE_MASTER_KEY``).
"""

from __future__ import annotations

import json
import threading
from typing import Final
from uuid import UUID

from cloud_functions.db.cameras.keys import (
    StoredCameraKey,
    add_camera_key,
    find_camera_key,
    list_camera_keys,
    newest_camera_key,
    rewrap_camera_key,
)
from cloud_functions.db.types import Connection
from cloud_functions.plates.master_keys import MasterKeys, rewrapped
from cloud_functions.plates.site_key import SiteKey, sealed_under
from shared.errors import ConfigurationError, PermanentError

KEY_CONTEXT: Final = "camera/passwords"
"""Used instead of a site id when the data key is wrapped. No site has this id, because it contains a ``/``."""
_PASSWORD: Final = "camera password"  # noqa: S105 - what is sealed, not a password


class CameraPasswords:
    """Seals and opens camera passwords. Safe to use from several threads; contains keys, but no passwords."""

    def __init__(self, *, master_keys: MasterKeys | None = None) -> None:
        """Without ``master_keys``, passwords can be neither sealed nor opened."""
        self._master_keys = master_keys
        self._unwrapped: dict[int, SiteKey] = {}
        self._lock = threading.Lock()

    @property
    def can_seal(self) -> bool:
        """Whether this deployment has a master key."""
        return self._master_keys is not None

    def seal(self, connection: Connection, password: str, *, camera_id: UUID) -> bytes:
        """Return the password sealed for this camera. Creates the data key on first use.

        Raises:
            ConfigurationError, PermanentError, TransientError: the master key is missing or unavailable.
        """
        stored = newest_camera_key(connection)
        key = self._new_key(connection) if stored is None else self._key(stored)
        return key.seal(json.dumps(password), event_id=str(camera_id), token=_PASSWORD)

    def open(self, connection: Connection, sealed: bytes, *, camera_id: UUID) -> str:
        """Return the password that ``seal`` sealed.

        Raises:
            PermanentError: the sealed password was changed, belongs to another camera, or its key was deleted.
            ConfigurationError, TransientError: the master key is missing or unavailable.
        """
        number = sealed_under(sealed)
        key = self._unwrapped.get(number)
        if key is None:
            stored = find_camera_key(connection, number)
            if stored is None:
                raise PermanentError(f"the key that sealed the password of camera {camera_id} was deleted")
            key = self._key(stored)
        try:
            return json.loads(key.open(sealed, event_id=str(camera_id), token=_PASSWORD))
        except PermanentError:
            raise PermanentError(f"the password of camera {camera_id} cannot be opened: it was changed") from None

    def _new_key(self, connection: Connection) -> SiteKey:
        data_key, wrapped = self._required().new_key(KEY_CONTEXT)
        return SiteKey(key_id=add_camera_key(connection, wrapped), site_id=KEY_CONTEXT, data_key=data_key)

    def _key(self, stored: StoredCameraKey) -> SiteKey:
        known = self._unwrapped.get(stored.key_id)
        if known is not None:
            return known
        data_key = self._required().unwrap(stored.key, KEY_CONTEXT)
        key = SiteKey(key_id=stored.key_id, site_id=KEY_CONTEXT, data_key=data_key)
        with self._lock:
            self._unwrapped[stored.key_id] = key
        return key

    def _required(self) -> MasterKeys:
        if self._master_keys is None:
            raise ConfigurationError("PLATE_MASTER_KEY is not set, and camera passwords are stored sealed only")
        return self._master_keys


def rewrap_camera_keys(connection: Connection, *, old: MasterKeys, new: MasterKeys) -> int:
    """Wrap the keys of camera passwords with the current master key; return how many there are."""
    keys = list_camera_keys(connection)
    for stored in keys:
        rewrap_camera_key(connection, stored.key_id, rewrapped(stored.key, KEY_CONTEXT, old=old, new=new))
    return len(keys)
