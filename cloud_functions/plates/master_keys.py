"""The master keys that wrap the sites' data keys: a key in AWS KMS, or keys in a file.

To add a kind, write a class and add a row to ``_KINDS``. A wrapped key is useless without its master key, so it is
stored in the database. Without access to the master key, or after the wrapped key is deleted, the sealed plates cannot
be read.
"""

from __future__ import annotations

import binascii
import os
import secrets
import stat
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from cloud_functions.plates.site_key import DATA_KEY_BYTES
from shared.errors import ConfigurationError, PermanentError

if TYPE_CHECKING:
    from cloud_functions.aws import AwsClients

_NONCE_BYTES: Final = 12
_FILE_HEAD: Final = (
    "# Master keys for plates; the last one wraps new keys. This file and the database together reveal the plates;\n"
    "# without this file they cannot be read. Keep a copy, separate from the database's backups.\n"
)


class WrappedKey(NamedTuple):
    """A data key in its encrypted form, which may be stored. Not a secret by itself."""

    wrapped: bytes
    wrapped_by: str
    """``kms:ARN`` or ``file:NUMBER``."""


class MasterKeys(Protocol):
    """Creates, wraps and unwraps data keys; each data key is bound to its site."""

    def new_key(self, site_id: str) -> tuple[bytes, WrappedKey]:
        """Return a new data key and its wrapped form."""
        ...

    def wrap(self, data_key: bytes, site_id: str) -> WrappedKey:
        """Wrap a data key with the current master key."""
        ...

    def unwrap(self, key: WrappedKey, site_id: str) -> bytes:
        """Return the data key; raise TransientError, PermanentError or ConfigurationError if it is unavailable."""
        ...


def rewrapped(key: WrappedKey, context: str, *, old: MasterKeys, new: MasterKeys) -> WrappedKey:
    """Return a key that ``old`` wrapped, wrapped by ``new``; ``context``: to what it is bound. Raises as both do."""
    return new.wrap(old.unwrap(key, context), context)


class KmsMasterKey:
    """A symmetric key in AWS KMS. The site is the encryption context, so a key policy can grant single sites."""

    def __init__(self, key: str, *, aws: AwsClients) -> None:
        """``key``: id, ARN, or alias (``alias/…``)."""
        self._key = key
        self._aws = aws

    def new_key(self, site_id: str) -> tuple[bytes, WrappedKey]:
        answer = self._call(
            "generate_data_key", f"creating a key for site {site_id}", site_id, KeyId=self._key, KeySpec="AES_256"
        )
        return answer["Plaintext"], WrappedKey(answer["CiphertextBlob"], f"kms:{answer['KeyId']}")

    def wrap(self, data_key: bytes, site_id: str) -> WrappedKey:
        answer = self._call(
            "encrypt", f"wrapping the key of site {site_id}", site_id, KeyId=self._key, Plaintext=data_key
        )
        return WrappedKey(answer["CiphertextBlob"], f"kms:{answer['KeyId']}")

    def unwrap(self, key: WrappedKey, site_id: str) -> bytes:
        wrapper = _of_kind("kms", key)
        doing = f"unwrapping the key of site {site_id}"
        return self._call("decrypt", doing, site_id, KeyId=wrapper, CiphertextBlob=key.wrapped)["Plaintext"]

    def _call(self, operation: str, doing: str, site_id: str, **parameters: object) -> dict[str, bytes]:
        from cloud_functions.aws import aws_error

        try:
            call = getattr(self._aws.client("kms"), operation)
            return call(EncryptionContext={"vedette:site": site_id}, **parameters)
        except Exception as error:
            raise aws_error(error, doing=doing) from error


class FileMasterKeys:
    """Keys in a file that only its owner may read; the last key wraps, all of them unwrap."""

    def __init__(self, path: str | Path) -> None:
        """Does not read the file yet."""
        self._path = Path(path)

    def check(self) -> None:
        """Raise ConfigurationError if the file cannot be used."""
        self._read()

    def new_key(self, site_id: str) -> tuple[bytes, WrappedKey]:
        data_key = secrets.token_bytes(DATA_KEY_BYTES)
        return data_key, self.wrap(data_key, site_id)

    def wrap(self, data_key: bytes, site_id: str) -> WrappedKey:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        name, key = list(self._read().items())[-1]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return WrappedKey(nonce + AESGCM(key).encrypt(nonce, data_key, _bound_to(site_id)), f"file:{name}")

    def unwrap(self, key: WrappedKey, site_id: str) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        name = _of_kind("file", key)
        master = self._read().get(name)
        if master is None:
            raise ConfigurationError(f"{self._path} does not contain the key {name}, which wraps a key of {site_id}")
        try:
            nonce, wrapped = key.wrapped[:_NONCE_BYTES], key.wrapped[_NONCE_BYTES:]
            return AESGCM(master).decrypt(nonce, wrapped, _bound_to(site_id))
        except InvalidTag:
            raise PermanentError(f"the key of site {site_id} cannot be unwrapped: it was changed") from None

    def _read(self) -> dict[str, bytes]:
        try:
            mode = self._path.stat().st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise ConfigurationError(f"{self._path} can be read by other users: run chmod 600 {self._path}")
            lines = self._path.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            what = getattr(error, "strerror", None) or "not a key file"
            raise ConfigurationError(f"the master keys in {self._path} cannot be read: {what}") from None
        keys = dict(_key_line(line, self._path) for line in lines if line and not line.startswith("#"))
        if not keys:
            raise ConfigurationError(f"{self._path} contains no master key")
        return keys


def make_key_file(path: Path) -> str:
    """Create a file with one new master key, readable only by its owner; return the key's name.

    Raises:
        ConfigurationError: the file exists already, or it cannot be written.
    """
    name, line = _new_line()
    _write_private(path, _FILE_HEAD + line, os.O_CREAT | os.O_EXCL)
    return name


def add_master_key(path: Path) -> str:
    """Append a new master key, which wraps from now on, to the file; return its name."""
    FileMasterKeys(path).check()
    name, line = _new_line()
    _write_private(path, line, os.O_APPEND)
    return name


def master_keys(setting: str | None, *, aws: AwsClients | None = None) -> MasterKeys:
    """Return the master keys of a setting ``kms:KEY`` or ``file:PATH``.

    Raises:
        ConfigurationError: the setting has another form.
    """
    kind, _, name = (setting or "").partition(":")
    make = _KINDS.get(kind)
    if make is None or not name:
        raise ConfigurationError("PLATE_MASTER_KEY must be kms:KEY (id, ARN or alias/…) or file:PATH")
    return make(name, aws)


def _kms(name: str, aws: AwsClients | None) -> MasterKeys:
    from cloud_functions.aws import AwsClients

    return KmsMasterKey(name, aws=aws or AwsClients())


def _file(name: str, _: AwsClients | None) -> MasterKeys:
    return FileMasterKeys(name)


_KINDS: Final[dict[str, Callable[[str, AwsClients | None], MasterKeys]]] = {"kms": _kms, "file": _file}


def _of_kind(kind: str, key: WrappedKey) -> str:
    have, _, name = key.wrapped_by.partition(":")
    if have != kind:
        raise ConfigurationError(f"a site's key is wrapped by a {have} key, but PLATE_MASTER_KEY is of kind {kind}")
    return name


def _bound_to(site_id: str) -> bytes:
    return b"vedette site key\n" + site_id.encode()


def _key_line(line: str, path: Path) -> tuple[str, bytes]:
    name, _, encoded = line.partition(" ")
    try:
        key = b64decode(encoded, validate=True)
    except binascii.Error:
        key = b""
    if not name or len(key) != DATA_KEY_BYTES:
        raise ConfigurationError(f"{path} has a line that is not a master key: NAME and 32 bytes in base64")
    return name, key


def _new_line() -> tuple[str, str]:
    name = secrets.token_hex(4)
    return name, f"{name} {b64encode(secrets.token_bytes(DATA_KEY_BYTES)).decode()}\n"


def _write_private(path: Path, text: str, flags: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | flags, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
