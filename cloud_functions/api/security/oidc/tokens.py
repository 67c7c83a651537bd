"""Verifies access tokens of the issuer: signature, issuer, audience and expiry; maps groups to a role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cloud_functions.api.security.oidc.issuer_keys import IssuerKeys
from cloud_functions.api.security.oidc.settings import OidcSettings
from cloud_functions.api.security.permissions import Credential, Permission, Principal
from cloud_functions.api.security.roles import ROLES
from cloud_functions.api.security.tokens import InvalidTokenError

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a key pair only. The algorithm in a token's header is never trusted: it must be that of the key."""
MAX_TOKEN: Final = 16 * 1024
"""Longest token that is accepted, in characters: issuers list many groups."""
ALL_CAMERAS: Final = "*"
"""In place of a camera group: the user is not limited."""
_LEEWAY_S: Final = 30
_LATEST_S: Final = 32_000_000_000
"""An expiry in the year 2984: later ones are no time of Python's."""
_MAX_NAME: Final = 254


class OidcTokens:
    """Verifies tokens of one issuer."""

    def __init__(
        self, settings: OidcSettings, *, keys: IssuerKeys, run: Callable[[Callable[[], None]], Awaitable[None]]
    ) -> None:
        """``run`` runs a blocking call, as ``ThreadPool.run`` does: loading the keys sends requests to the issuer."""
        self._settings = settings
        self._keys = keys
        self._run = run

    def accepts(self, token: str) -> bool:
        """Return whether the token says that it is of this issuer. That alone proves nothing."""
        import jwt

        if len(token) > MAX_TOKEN:
            return False
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.InvalidTokenError, ValueError):
            return False
        return claims.get("iss") == self._settings.issuer

    async def principal(self, token: str) -> Principal:
        """Return the caller.

        Raises:
            InvalidTokenError: the token is not valid now.
            TransientError: the keys of the issuer are not known and cannot be loaded.
        """
        if self._keys.must_load(_kid(token)):
            await self._run(self._keys.load)
        return self.verify(token)

    def verify(self, token: str) -> Principal:
        """Return the caller; raise InvalidTokenError for a token that is not valid now.

        A user without a group of the settings has no permissions. Where camera groups come from the token, a user
        without any of them, or with unknown ones only, sees no camera.
        """
        import jwt

        key = self._keys.get(_kid(token))
        if key is None or key.algorithm_name not in ALGORITHMS:
            raise InvalidTokenError
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise InvalidTokenError from None
        return Principal(
            name=self._name(claims),
            kind="user",
            permissions=self._permissions(claims),
            groups=self._camera_groups(claims),
            credential=Credential("issuer", ends_at=datetime.fromtimestamp(min(claims["exp"], _LATEST_S), UTC)),
        )

    def _name(self, claims: Mapping[str, Any]) -> str:
        names = (_claim(claims, self._settings.username_claim), claims.get("email"), claims["sub"])
        return next(name for name in names if isinstance(name, str) and name)[:_MAX_NAME]

    def _permissions(self, claims: Mapping[str, Any]) -> frozenset[Permission]:
        roles = self._settings.roles
        granted = [ROLES[roles[group]] for group in _values(claims, self._settings.groups_claim) if group in roles]
        return max(granted, key=len, default=frozenset())

    def _camera_groups(self, claims: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the slugs of the camera groups that the user is limited to; None for no limit."""
        claim, groups_of = self._settings.camera_groups_claim, self._settings.camera_groups
        if claim is None:
            return None
        slugs: dict[str, None] = {}  # ordered, each one once
        for value in _values(claims, claim):
            slugs |= dict.fromkeys((value,) if groups_of is None else groups_of.get(value, ()))
        return None if ALL_CAMERAS in slugs else tuple(slugs)


def _values(claims: Mapping[str, Any], name: str) -> list[str]:
    """Return the texts that a claim lists, or that it separates by spaces; none of any other claim."""
    given = _claim(claims, name)
    if isinstance(given, str):
        return given.split()
    return [value for value in given if isinstance(value, str)] if isinstance(given, list) else []


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return the claim, also one that is nested (``realm_access.roles``) or has dots in its name; None without it."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _kid(token: str) -> str:
    """Return the key id in the header of a token; empty if the token has none."""
    import jwt

    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.InvalidTokenError, ValueError):
        return ""
    return kid if isinstance(kid, str) else ""
