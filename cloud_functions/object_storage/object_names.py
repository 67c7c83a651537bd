"""Checks of object keys, prefixes and metadata, and the content type of a key.

The rules are stricter than S3's, so that every S3-compatible store, a proxy and a folder of files treat a key alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from shared.errors import ContractError
from shared.storage_keys import CONTENT_TYPES

MAX_KEY_BYTES: Final = 1024
"""Size limit of a key in UTF-8."""
MAX_METADATA_BYTES: Final = 2048
"""Size limit of S3 for all names and values of an object's metadata."""
DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"

_METADATA_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_METADATA_VALUE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def check_key(key: str) -> str:
    """Return ``key`` unchanged.

    Raise ContractError unless it is 1 to 1,024 bytes of UTF-8 without control characters, and no part between slashes
    is empty, ``.`` or ``..``.
    """
    _check_text(key)
    if any(part in {"", ".", ".."} for part in key.split("/")):
        raise ContractError(f"not an object key: {key[:200]!r}; no part may be empty, . or ..", reason="bad_key")
    return key


def directory_prefix(directory: str) -> str:
    """Return the prefix of the keys in ``directory``: with one trailing slash, or empty for the whole bucket.

    Raise ContractError if it cannot be the beginning of a key.
    """
    name = directory.removesuffix("/")
    return f"{check_key(name)}/" if directory else ""


def content_type_of(key: str) -> str:
    """Return the image type of a key with the suffix of a snapshot, else ``application/octet-stream``."""
    name = key.rpartition("/")[2]
    return CONTENT_TYPES.get(name.rpartition(".")[2].lower() if "." in name else "", DEFAULT_CONTENT_TYPE)


def check_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Return ``metadata`` unchanged.

    Raise ContractError unless the names are 1 to 100 of a-z 0-9 -, the values are printable ASCII without spaces at
    the ends, and all together have at most 2,048 bytes.
    """
    for name, value in metadata.items():
        if _METADATA_NAME.fullmatch(name) is None:
            raise ContractError(f"a metadata name must be 1 to 100 of a-z 0-9 -: {name[:100]!r}", reason="bad_metadata")
        if _METADATA_VALUE.fullmatch(value) is None:
            raise ContractError(f"the metadata {name} must be printable ASCII", reason="bad_metadata")
    if sum(len(name) + len(value) for name, value in metadata.items()) > MAX_METADATA_BYTES:
        raise ContractError(f"the metadata exceeds {MAX_METADATA_BYTES} bytes", reason="bad_metadata")
    return metadata


def _check_text(key: str) -> None:
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        raise ContractError("an object key must be valid Unicode", reason="bad_key") from None
    if not 1 <= size_bytes <= MAX_KEY_BYTES:
        raise ContractError(f"an object key has 1 to {MAX_KEY_BYTES} bytes, not {size_bytes}", reason="bad_key")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in key):
        raise ContractError(f"an object key cannot contain control characters: {key[:200]!r}", reason="bad_key")
