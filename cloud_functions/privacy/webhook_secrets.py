"""The secrets with which deliveries to webhooks are signed. Each is wrapped by the deployment's master key.

A wrapped secret is bound to its webhook: copied to another row, it cannot be opened.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from functools import partial
from typing import Final
from uuid import UUID

from cloud_functions.db.types import Connection
from cloud_functions.db.webhooks.changes import list_secrets, rewrap_secrets
from cloud_functions.plates.master_keys import MasterKeys, WrappedKey, rewrapped
from shared.errors import ConfigurationError

KEY_CONTEXT: Final = "webhook/"
"""Followed by the webhook's id, this is used instead of a site id. No site id contains a ``/``."""
_PREFIX: Final = "whsec_"
_MAX_CACHED: Final = 1000


class WebhookSecrets:
    """Makes and opens secrets. Safe to use from several threads."""

    def __init__(self, *, master_keys: MasterKeys | None = None) -> None:
        """Without ``master_keys``, there can be no webhooks."""
        self._master_keys = master_keys
        self._opened: dict[WrappedKey, bytes] = {}
        self._lock = threading.Lock()

    @property
    def can_make(self) -> bool:
        """Whether this deployment has a master key."""
        return self._master_keys is not None

    def make(self, webhook_id: UUID) -> tuple[str, WrappedKey]:
        """Return a new secret as its receiver needs it (``whsec_…``), and its wrapped form.

        Raises:
            ConfigurationError, PermanentError, TransientError: the master key is missing or unavailable.
        """
        secret, wrapped = self._required().new_key(_context(webhook_id))
        return _PREFIX + b64encode(secret).decode(), wrapped

    def open(self, wrapped: WrappedKey, webhook_id: UUID) -> bytes:
        """Return the bytes of a secret; raises as ``make`` does."""
        secret = self._opened.get(wrapped)
        if secret is None:
            secret = self._required().unwrap(wrapped, _context(webhook_id))
            with self._lock:
                if len(self._opened) >= _MAX_CACHED:
                    self._opened.clear()
                self._opened[wrapped] = secret
        return secret

    def _required(self) -> MasterKeys:
        if self._master_keys is None:
            raise ConfigurationError("PLATE_MASTER_KEY is not set, and the secrets of webhooks are stored wrapped only")
        return self._master_keys


def wrapped_webhook_secrets(connection: Connection) -> list[tuple[WrappedKey, str]]:
    """Return the wrapped secrets that webhooks sign with, each with the context to which it is bound."""
    return [(secret, _context(webhook_id)) for webhook_id, secret, _ in list_secrets(connection)]


def rewrap_webhook_secrets(connection: Connection, *, old: MasterKeys, new: MasterKeys) -> int:
    """Wrap the secrets of all webhooks with the current master key; return how many there are."""
    count = 0
    for webhook_id, secret, previous in list_secrets(connection, lock=True):
        wrap_again = partial(rewrapped, context=_context(webhook_id), old=old, new=new)
        rewrap_secrets(connection, webhook_id, wrap_again(secret), None if previous is None else wrap_again(previous))
        count += 1 + (previous is not None)
    return count


def _context(webhook_id: UUID) -> str:
    return f"{KEY_CONTEXT}{webhook_id}"
