"""Access tokens: JWTs that are signed with Ed25519 and valid for 15 minutes.

A signature says who the user was, and of which session; ``user_authorizer`` then looks up whether that session goes on.
The key pairs are in the database, so that every process can sign and verify. A private key is wrapped by the master key
where the deployment has one. A key signs for 90 days; afterwards it verifies for another hour. PyJWT is imported on
first use: it takes about 100 ms, and only requests with a token need it.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from cloud_functions.db.types import Connection
from cloud_functions.db.users.signing_keys import (
    StoredSigningKey,
    current_signing_key,
    lock_signing_keys,
    replace_signing_key,
    verification_keys,
)
from cloud_functions.plates.master_keys import MasterKeys, WrappedKey
from shared.clock import Clock
from shared.errors import ConfigurationError, PermanentError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

logger = logging.getLogger(__name__)

ACCESS_LIFETIME: Final = timedelta(minutes=15)
SIGNING_PERIOD: Final = timedelta(days=90)
"""Age at which a key is replaced by a new one at the next log-in."""
KEEP_RETIRED: Final = timedelta(hours=1)
"""Time for which a retired key verifies; longer than any token lives that it has signed."""
KEY_CONTEXT: Final = "api/signing-keys"
"""Stands in the place of a site when a private key is wrapped. No site has this id: it holds a ``/``."""
_ALGORITHM: Final = "EdDSA"
_ISSUER: Final = "vedette"
_MAX_TOKEN: Final = 4096
_KEY_BYTES: Final = 32
_RELOAD_AFTER_S: Final = 300.0
_RELOAD_PAUSE_S: Final = 1.0


class InvalidTokenError(Exception):
    """The token is not one of ours, was changed, or has expired."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says about its user."""

    user_id: UUID
    username: str
    role: str
    groups: tuple[str, ...] | None
    session: UUID | None = None
    """The family of refresh tokens that it was issued with (``sid``); None in a token of an earlier release."""


class AccessTokens:
    """Signs and verifies access tokens. Safe to use from several threads."""

    def __init__(self, *, clock: Clock, master_keys: MasterKeys | None = None) -> None:
        """Without ``master_keys``, private keys are stored as they are; the database then is what protects them."""
        self._clock = clock
        self._master_keys = master_keys
        self._lock = threading.Lock()
        self._signing: tuple[str, bytes] | None = None
        self._public_keys: dict[str, bytes] = {}
        self._loaded_s: float | None = None
        self._missed_s = float("-inf")

    def issue(
        self,
        connection: Connection,
        *,
        user_id: UUID,
        username: str,
        role: str,
        groups: Sequence[str] | None,
        session: UUID | None = None,
    ) -> str:
        """Return a token for the user. Creates or replaces the signing key if necessary.

        ``session`` is the family of the refresh token that belongs to it.

        Raises:
            TransientError, ConfigurationError: the master key is unavailable.
        """
        import jwt

        kid, private_key = self._signing_key(connection)
        now = self._clock.now()
        claims: dict[str, Any] = {
            "iss": _ISSUER,
            "aud": _ISSUER,
            "sub": str(user_id),
            "name": username,
            "role": role,
            "iat": int(now.timestamp()),
            "exp": int((now + ACCESS_LIFETIME).timestamp()),
            "jti": secrets.token_hex(8),
        }
        if groups is not None:
            claims["groups"] = list(groups)
        if session is not None:
            claims["sid"] = str(session)
        return jwt.encode(claims, _private_key(private_key), algorithm=_ALGORITHM, headers={"kid": kid})

    def needs_keys(self, token: str) -> bool:
        """Return whether ``load_keys`` must be called before ``verify``.

        True for a key that is not known, at most once a second, and when the keys were loaded some minutes ago.
        """
        now_s = self._clock.monotonic()
        if self._loaded_s is None or now_s - self._loaded_s > _RELOAD_AFTER_S:
            return True
        if _kid(token) in self._public_keys or now_s - self._missed_s < _RELOAD_PAUSE_S:
            return False
        self._missed_s = now_s
        return True

    def load_keys(self, connection: Connection) -> None:
        """Load the public keys."""
        keys = verification_keys(connection, keep=KEEP_RETIRED)
        with self._lock:
            self._public_keys, self._loaded_s = keys, self._clock.monotonic()

    def verify(self, token: str) -> Claims:
        """Return the claims of a token; raise InvalidTokenError if it is not valid now."""
        import jwt
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        public_key = self._public_keys.get(_kid(token))
        if public_key is None:
            raise InvalidTokenError
        try:
            claims = jwt.decode(
                token,
                Ed25519PublicKey.from_public_bytes(public_key),
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                audience=_ISSUER,
                options={"require": ["exp", "sub"], "verify_exp": False, "verify_iat": False},
            )
            expires = datetime.fromtimestamp(claims["exp"], UTC)
            groups, session = claims.get("groups"), claims.get("sid")
            found = Claims(
                UUID(claims["sub"]),
                claims["name"],
                claims["role"],
                None if groups is None else tuple(groups),
                session=None if session is None else UUID(session),
            )
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError):
            raise InvalidTokenError from None
        if expires <= self._clock.now():
            raise InvalidTokenError
        return found

    def _signing_key(self, connection: Connection) -> tuple[str, bytes]:
        """Return id and private key of the current signing key, which is created or replaced if it cannot be used."""
        usable = self._usable(current_signing_key(connection))
        if usable is not None:
            return usable
        lock_signing_keys(connection)
        stored = current_signing_key(connection)
        usable = self._usable(stored)  # another process may have replaced it
        if usable is not None:
            return usable
        if stored is not None:
            logger.warning("replacing the signing key %s of access tokens", stored.kid)
        return self._new_key(connection)

    def _usable(self, stored: StoredSigningKey | None) -> tuple[str, bytes] | None:
        if stored is None or stored.created_at is None:
            return None
        if self._clock.now() - stored.created_at > SIGNING_PERIOD:
            return None
        known = self._signing
        if known is not None and known[0] == stored.kid:
            return known
        if (stored.wrapped_by is None) != (self._master_keys is None):
            return None
        try:
            private_key = self._unwrapped(stored)
        except (ConfigurationError, PermanentError) as error:  # for example a master key that was replaced
            logger.warning("the signing key of access tokens cannot be unwrapped: %s", error)
            return None
        self._signing = (stored.kid, private_key)
        return self._signing

    def _unwrapped(self, stored: StoredSigningKey) -> bytes:
        if self._master_keys is None or stored.wrapped_by is None:
            return stored.private_key
        return self._master_keys.unwrap(WrappedKey(stored.private_key, stored.wrapped_by), KEY_CONTEXT)

    def _new_key(self, connection: Connection) -> tuple[str, bytes]:
        if self._master_keys is None:
            private_key = wrapped = secrets.token_bytes(_KEY_BYTES)
            wrapped_by = None
        else:
            private_key, (wrapped, wrapped_by) = self._master_keys.new_key(KEY_CONTEXT)
        public_key = _private_key(private_key).public_key().public_bytes_raw()
        kid = secrets.token_hex(8)
        stored = StoredSigningKey(kid, _ALGORITHM, public_key, wrapped, wrapped_by)
        replace_signing_key(connection, stored, keep=KEEP_RETIRED)
        return kid, private_key


def _private_key(raw: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(raw)


def _kid(token: str) -> str:
    """Return the key id in the header of a token; empty if the token has none."""
    import jwt

    if len(token) > _MAX_TOKEN:
        return ""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.InvalidTokenError, ValueError):
        return ""
    return kid if isinstance(kid, str) else ""
