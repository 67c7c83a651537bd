"""The settings of an OpenID Connect issuer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from cloud_functions.api.security.roles import ROLES, Role, is_role
from cloud_functions.settings import Environment
from shared.errors import ConfigurationError

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_CLAIM: Final = re.compile(r"[^\s.]+(\.[^\s.]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Which tokens are accepted, and what their users may do."""

    issuer: str
    """``iss`` of accepted tokens. Its discovery document says where its keys are."""
    audience: str
    """``aud`` of accepted tokens: the id of this API at the issuer."""
    roles: Mapping[str, Role]
    """The role of each group of the issuer. Of several, the one with most permissions counts; without one, none."""
    groups_claim: str = "groups"
    """Claim that lists a user's groups; a dot separates nested names, for example ``realm_access.roles``."""
    username_claim: str = "preferred_username"
    """Claim that names the user. Without it, ``email`` or ``sub`` does."""
    camera_groups_claim: str | None = None
    """Claim that lists the camera groups that a user is limited to; None limits nobody."""
    camera_groups: Mapping[str, tuple[str, ...]] | None = None
    """The camera groups, by slug, of each value of that claim; None: the values are slugs themselves."""

    @classmethod
    def from_environment(cls, env: Environment) -> Self | None:
        """Read the settings; None without ``OIDC_ISSUER``. Raises ConfigurationError for an invalid variable."""
        issuer = env.optional("OIDC_ISSUER")
        if issuer is None:
            return None
        require_safe_url("OIDC_ISSUER", issuer)
        return cls(
            issuer=issuer,
            audience=env.required("OIDC_AUDIENCE", purpose="the id of this API at the issuer (aud of its tokens)"),
            roles=_roles(env.required("OIDC_ROLES", purpose="roles of the issuer's groups, such as staff=viewer")),
            groups_claim=_claim("OIDC_GROUPS_CLAIM", env.text("OIDC_GROUPS_CLAIM", "groups")),
            username_claim=_claim("OIDC_USERNAME_CLAIM", env.text("OIDC_USERNAME_CLAIM", "preferred_username")),
            camera_groups_claim=_camera_groups_claim(env),
            camera_groups=_camera_groups(env.optional("OIDC_CAMERA_GROUPS")),
        )


def require_safe_url(name: str, url: str) -> None:
    """Raise ConfigurationError unless the URL is https, or http on this machine, without a login, query or fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(f"{name} is not a URL") from None
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    if not is_safe or not host or parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(f"{name} must be an https URL without a login, query or fragment")


def _roles(text: str) -> dict[str, Role]:
    roles: dict[str, Role] = {}
    for group, role in _pairs(text):
        if not group or not is_role(role):
            raise ConfigurationError(f"OIDC_ROLES must be GROUP=ROLE, ... with the roles {', '.join(ROLES)}")
        roles[group] = role
    if not roles:
        raise ConfigurationError("OIDC_ROLES names no group")
    return roles


def _camera_groups(text: str | None) -> dict[str, tuple[str, ...]] | None:
    if text is None:
        return None
    groups: dict[str, tuple[str, ...]] = {}
    for group, slug in _pairs(text):
        if not group or not slug:
            raise ConfigurationError("OIDC_CAMERA_GROUPS must be GROUP=CAMERA_GROUP, ... or GROUP=* for all cameras")
        groups[group] = (*groups.get(group, ()), slug)
    if not groups:
        raise ConfigurationError("OIDC_CAMERA_GROUPS names no group")
    return groups


def _camera_groups_claim(env: Environment) -> str | None:
    """Return the claim of camera groups: with a map of groups, the claim of the roles unless another one is set."""
    default = env.text("OIDC_GROUPS_CLAIM", "groups") if env.optional("OIDC_CAMERA_GROUPS") is not None else None
    claim = env.optional("OIDC_CAMERA_GROUPS_CLAIM") or default
    return None if claim is None else _claim("OIDC_CAMERA_GROUPS_CLAIM", claim)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of ``NAME=VALUE, ...``; a name may contain ``=``, and is empty where there is none."""
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = pair.rpartition("=")
        yield name.strip(), value.strip()


def _claim(name: str, text: str) -> str:
    if not _CLAIM.fullmatch(text):
        raise ConfigurationError(f"{name} must be the name of a claim")
    return text
