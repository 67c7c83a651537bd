"""The device's X25519 key: made at the first start, it opens the passwords that the cloud seals to this device."""

from __future__ import annotations

import logging
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.device.private_file import write_private
from edge_agent.device.sealed_box import open_password
from shared.errors import ConfigurationError, VedetteError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

logger = logging.getLogger(__name__)

FILE_NAME = "device.key"
NEEDS_CRYPTOGRAPHY = (
    "a device that is configured through the API needs the package cryptography: pip install 'vedette[edge]'"
)
_KEY_BYTES = 32


class DeviceKey:
    """The key of this device. ``repr`` and logs never contain the private half."""

    def __init__(self, private_key: X25519PrivateKey) -> None:
        self._private_key = private_key
        self.public_key = b64encode(private_key.public_key().public_bytes_raw()).decode()
        """The public half in base64, for the heartbeat."""

    @classmethod
    def load(cls, folder: Path) -> DeviceKey:
        """Read the key in ``folder``, or make one. A damaged key is replaced: the cloud then seals to the new one.

        Raises:
            ConfigurationError: the file can be neither read nor written, or ``cryptography`` is not installed.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
        except ImportError as error:
            raise ConfigurationError(NEEDS_CRYPTOGRAPHY) from error
        path = folder / FILE_NAME
        if (stored := _read(path)) is not None:
            return cls(X25519PrivateKey.from_private_bytes(stored))
        private_key = X25519PrivateKey.generate()
        try:
            write_private(path, b64encode(private_key.private_bytes_raw()) + b"\n")
        except VedetteError as error:
            raise ConfigurationError(f"the key of this device: {error}") from error
        logger.info("made a key for this device in %s", path)
        return cls(private_key)

    def open(self, sealed: str, *, camera_id: str) -> str:
        """Return a password that was sealed to this device. Raises PermanentError where it was not."""
        return open_password(sealed, private_key=self._private_key, camera_id=camera_id)


def _read(path: Path) -> bytes | None:
    """Return the private half; None where there is none, or a damaged one."""
    try:
        if path.stat().st_mode & 0o077:
            logger.warning("%s was readable by other users; its mode is corrected to 0600", path)
            path.chmod(0o600)
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"the key of this device: cannot read {path}: {error.strerror}") from error
    try:
        key = b64decode(content.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        logger.error("%s is damaged; making a new key. The cloud must send the cameras' passwords again", path)
        return None
    return key
