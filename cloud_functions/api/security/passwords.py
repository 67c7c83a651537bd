"""Hashes passwords with Argon2id (OWASP's parameters: 19 MiB, two passes, one lane).

The library is imported on first use: only a log-in needs it.
"""

from __future__ import annotations

import secrets
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 1000
_GENERATED_BYTES: Final = 18
_MEMORY_KIB: Final = 19_456
_PASSES: Final = 2
_PARALLELISM: Final = 1
_UNKNOWN_USER: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
"""Has the same cost as a real hash and is that of no password that anybody knows."""


def generated_password() -> str:
    """Return a random password with 144 bits of randomness."""
    return secrets.token_urlsafe(_GENERATED_BYTES)


def hash_password(password: str) -> str:
    """Return the hash of the password, in the PHC string format. Takes about 30 ms and 19 MiB."""
    return _hasher().hash(_bytes(password))


def check_password(password: str, password_hash: str | None) -> bool:
    """Return whether the hash is that of the password.

    With None, for a user who does not exist, the same work is done, so that the time does not reveal who exists.
    """
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        matches = _hasher().verify(password_hash or _UNKNOWN_USER, _bytes(password))
    except (VerificationError, InvalidHashError):
        return False
    return matches and password_hash is not None


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_PARALLELISM)


def _bytes(password: str) -> bytes:
    """Return the password's bytes; keyboards of different systems compose accents differently."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
