"""A site's unwrapped key: encrypts and decrypts the data of plate events, and computes the tokens that identify plates.

Encryption is AES-256-GCM with a random nonce, bound to the row; tokens are HMAC-SHA-256. Both keys are derived from the
site's data key with HKDF, so neither reveals the other. This module never prints or logs a key or a plate.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from typing import Final

from shared.errors import PermanentError

DATA_KEY_BYTES: Final = 32
TOKEN: Final = re.compile(r"~[A-Za-z0-9_-]{22}")
"""Replaces a protected plate's normal form: 128 bits of a keyed hash; ``~`` sorts after all ASCII plates."""
_TOKEN_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_VERSION: Final = b"\x01"
_HEAD_BYTES: Final = len(_VERSION) + 8
_BLOCK_BYTES: Final = 128
"""Texts are padded to multiples of this, because their length would reveal the length of the plate."""


def is_token(text: str) -> bool:
    """Return whether ``text`` is the token of a protected plate."""
    return TOKEN.fullmatch(text) is not None


def sealed_under(sealed: bytes) -> int:
    """Return the id of the key that sealed this data; raise PermanentError if it is not sealed data."""
    if len(sealed) < _HEAD_BYTES + _NONCE_BYTES + _TAG_BYTES or not sealed.startswith(_VERSION):
        raise PermanentError("a sealed plate has an unknown format; it may be from a newer release")
    return int.from_bytes(sealed[len(_VERSION) : _HEAD_BYTES])


class SiteKey:
    """Encrypts and decrypts the plates of one site, and computes their tokens."""

    def __init__(self, *, key_id: int, site_id: str, data_key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(data_key) != DATA_KEY_BYTES:
            raise PermanentError(f"the data key of site {site_id} has {len(data_key)} bytes instead of 32")
        self.key_id = key_id
        self.site_id = site_id
        self._cipher = AESGCM(_derived(data_key, site_id, "text"))
        self._search_key = _derived(data_key, site_id, "search")

    def token(self, plate: str) -> str:
        """Return the token of a plate (in normal form): always the same for this site and key, different elsewhere."""
        digest = hmac.digest(self._search_key, plate.encode(), "sha256")
        return "~" + urlsafe_b64encode(digest[:_TOKEN_BYTES]).decode().rstrip("=")

    def seal(self, text: str, *, event_id: str, token: str) -> bytes:
        """Encrypt the JSON ``text`` for this event and token; it cannot be decrypted for another row."""
        head = _VERSION + self.key_id.to_bytes(8)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        plain = text.encode()
        plain += b" " * (-len(plain) % _BLOCK_BYTES)  # trailing spaces are valid JSON
        return head + nonce + self._cipher.encrypt(nonce, plain, self._bound_to(head, event_id, token))

    def open(self, sealed: bytes, *, event_id: str, token: str) -> str:
        """Return the text that ``seal`` encrypted.

        Raises:
            PermanentError: the data was changed, belongs to another row, or was sealed with another key.
        """
        from cryptography.exceptions import InvalidTag

        sealed_under(sealed)
        head, rest = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES:]
        try:
            plain = self._cipher.decrypt(
                rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], self._bound_to(head, event_id, token)
            )
        except InvalidTag:
            raise PermanentError(
                f"the plate of event {event_id} cannot be decrypted: it was changed, moved to another row, or sealed"
                " with another key"
            ) from None
        return plain.decode().rstrip(" ")

    def _bound_to(self, head: bytes, event_id: str, token: str) -> bytes:
        return b"\n".join([b"vedette plate", head, self.site_id.encode(), event_id.encode(), token.encode()])


def _derived(data_key: bytes, site_id: str, purpose: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = f"vedette plates 1 {purpose} {site_id}".encode()
    return HKDF(algorithm=SHA256(), length=DATA_KEY_BYTES, salt=None, info=info).derive(data_key)
