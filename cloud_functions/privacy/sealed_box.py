"""Seals a camera's password to the device that opens the camera. ``edge_agent/device/sealed_box.py`` is the other half.

A box is an ephemeral X25519 public key followed by ChaCha20-Poly1305 ciphertext. Key and nonce are derived with
HKDF-SHA256 from the shared secret; the salt is both public keys, and the camera's id is the associated data. Only the
device can open the box, and only for that camera.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final

from shared.errors import PermanentError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

INFO: Final = b"vedette camera password v1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


def seal_password(
    password: str, *, public_key: str, camera_id: str, ephemeral_key: X25519PrivateKey | None = None
) -> str:
    """Return the password in a box for a device, in base64. Two boxes of one password differ.

    ``public_key`` is that of the device's heartbeat, and ``camera_id`` the camera's slug. ``ephemeral_key`` is for
    tests: a key that is used twice reveals whether two passwords are the same.

    Raises:
        PermanentError: ``public_key`` is not a key, or one with which no secret can be shared.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    ephemeral = ephemeral_key or X25519PrivateKey.generate()
    try:
        device_key = b64decode(public_key, validate=True)
        secret = ephemeral.exchange(X25519PublicKey.from_public_bytes(device_key))
    except ValueError:
        raise PermanentError("the public key of the device is not a usable X25519 key") from None
    own_key = ephemeral.public_key().public_bytes_raw()
    length = _KEY_BYTES + _NONCE_BYTES
    derived = HKDF(algorithm=SHA256(), length=length, salt=own_key + device_key, info=INFO).derive(secret)
    cipher = ChaCha20Poly1305(derived[:_KEY_BYTES])
    return b64encode(own_key + cipher.encrypt(derived[_KEY_BYTES:], password.encode(), camera_id.encode())).decode()
