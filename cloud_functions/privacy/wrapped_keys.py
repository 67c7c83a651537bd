"""All keys that the deployment's master key has wrapped: what must be opened for sealed data to be readable."""

from __future__ import annotations

from typing import NamedTuple

from cloud_functions.db.cameras.keys import list_camera_keys
from cloud_functions.db.sites.settings import list_keys
from cloud_functions.db.types import Connection
from cloud_functions.plates.master_keys import WrappedKey
from cloud_functions.privacy.camera_passwords import KEY_CONTEXT
from cloud_functions.privacy.webhook_secrets import wrapped_webhook_secrets


class StoredWrappedKey(NamedTuple):
    """One wrapped key of the database."""

    seals: str
    """What it seals, for people: ``plates of site hq``."""
    key: WrappedKey
    context: str
    """To what it is bound."""


def list_wrapped_keys(connection: Connection) -> list[StoredWrappedKey]:
    """Return every key by which the database has something sealed."""
    return [
        *(StoredWrappedKey(f"plates of site {one.site_id}", one.key, one.site_id) for one in list_keys(connection)),
        *(StoredWrappedKey("passwords of cameras", one.key, KEY_CONTEXT) for one in list_camera_keys(connection)),
        *(StoredWrappedKey("secrets of webhooks", *one) for one in wrapped_webhook_secrets(connection)),
    ]
