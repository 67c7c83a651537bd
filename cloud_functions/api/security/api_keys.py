"""The text of API keys: ``vdk_<8>_<30><6>``, with a prefix that identifies the key, a secret and a checksum.

All characters are base62. The checksum is the CRC-32 of the text before it, so that a mistyped key is rejected without
a query, and secret scanners can recognise a key. A key has 178 bits of randomness, so one SHA-256 protects it at rest.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from typing import Final, NamedTuple

KEY_START: Final = "vdk_"
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX_LENGTH: Final = 8
_SECRET_LENGTH: Final = 30
_CHECKSUM_LENGTH: Final = 6
_KEY: Final = re.compile(r"(vdk_([0-9A-Za-z]{8})_[0-9A-Za-z]{30})([0-9A-Za-z]{6})", re.ASCII)


class NewApiKey(NamedTuple):
    """A new key. Only its prefix and its hash are stored."""

    text: str
    prefix: str
    key_hash: bytes


def new_api_key() -> NewApiKey:
    """Return a new random key."""
    prefix, secret = _random(_PREFIX_LENGTH), _random(_SECRET_LENGTH)
    start = f"{KEY_START}{prefix}_{secret}"
    text = start + _checksum(start)
    return NewApiKey(text, prefix, hash_of(text))


def prefix_of(text: str) -> str | None:
    """Return the prefix of a key; None if the text is not a key or its checksum is wrong."""
    match = _KEY.fullmatch(text)
    return match[2] if match is not None and _checksum(match[1]) == match[3] else None


def hash_of(text: str) -> bytes:
    """Return the SHA-256 hash of a key or a refresh token."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode("ascii"))
    digits = ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
