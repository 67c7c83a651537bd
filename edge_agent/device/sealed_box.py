"""Opens passwords that the cloud sealed to this device. ``cloud_functions/privacy/sealed_box.py`` is the other half.

A box is an ephemeral X25519 public key followed by ChaCha20-Poly1305 ciphertext. Key and nonce are derived with
HKDF-SHA256 from the shared secret; the salt is both public keys, and the camera's id is the associated data.
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Final

from shared.errors import PermanentError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

INFO: Final = b"vedette camera password v1"
_PUBLIC_KEY_BYTES: Final = 32
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


def open_password(sealed: str, *, private_key: X25519PrivateKey, camera_id: str) -> str:
    """Return the password in a box in base64. Raise PermanentError for a box of another device or camera."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    own_key = private_key.public_key().public_bytes_raw()
    length = _KEY_BYTES + _NONCE_BYTES
    try:
        box = b64decode(sealed, validate=True)
        ephemeral, ciphertext = box[:_PUBLIC_KEY_BYTES], box[_PUBLIC_KEY_BYTES:]
        secret = private_key.exchange(X25519PublicKey.from_public_bytes(ephemeral))
        derived = HKDF(algorithm=SHA256(), length=length, salt=ephemeral + own_key, info=INFO).derive(secret)
        cipher = ChaCha20Poly1305(derived[:_KEY_BYTES])
        return cipher.decrypt(derived[_KEY_BYTES:], ciphertext, camera_id.encode()).decode()
    except (InvalidTag, ValueError):
        raise PermanentError("the password was sealed to another key, or for another camera") from None
