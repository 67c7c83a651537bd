"""A camera's address with its secrets kept apart, so that they reach the camera and nobody else."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote, unquote

from shared.errors import ConfigurationError
from shared.redact import MASK, redact

_AUTHORITY_END = re.compile(r"[/?#]")
_HOST_AND_PORT = re.compile(r"(\[[^\]]+\]|[^:/?#@\s]+)(:[0-9]{1,5})?", re.UNICODE)
_SURELY_A_HOST = re.compile(
    r"(\[[^\]]+\]|[0-9]{1,3}(\.[0-9]{1,3}){3}|[^:/?#@\s]+:[0-9]{1,5})(:[0-9]{1,5})?", re.UNICODE
)
_SHORTEST_MASKED = 4
"""A shorter password is masked only as part of an address: it would hit too many innocent words."""


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """Where a stream is. ``shown`` is safe to print; ``url`` is not, and neither is its ``repr``."""

    url: str = field(repr=False)
    """For FFmpeg: user name and password percent-encoded."""
    shown: str
    secrets: tuple[str, ...] = field(repr=False, default=())
    has_login: bool = False
    """The address names a user, a password or both (an empty password counts)."""

    def mask(self, text: str) -> str:
        """Take this address's secrets out of ``text``, however they are spelled."""
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        return redact(text)


def parse_address(text: str) -> StreamAddress:
    """Split ``scheme://user:password@host/path``; the password may hold ``@``, ``/`` and the like, encoded or not."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ConfigurationError(f"{redact(text)} is not an address; expected {scheme.partition(':')[0]}://HOST/PATH")
    userinfo, location = _split(rest)
    host = _host_of(location)
    if not _HOST_AND_PORT.fullmatch(host):
        raise ConfigurationError(
            f"the address {scheme}://{MASK + '@' if userinfo else ''}… has no host; "
            f"expected {scheme}://HOST/PATH or {scheme}://USER:PASSWORD@HOST:PORT/PATH"
        )
    port = host.rpartition(":")[2] if not host.endswith("]") and ":" in host else None
    if port is not None and not 1 <= int(port) <= 65_535:
        raise ConfigurationError(f"the address names the port {port}; ports go from 1 to 65535")
    # Behind a login, an "@" in the path may be what is left of a badly written password: show only what follows it.
    shown = redact(f"{scheme}://{MASK}@{location.rpartition('@')[2]}" if userinfo else text)
    if not userinfo:
        return StreamAddress(url=text, shown=shown)
    user, _, password = userinfo.partition(":")
    # FFmpeg answers a challenge only if the login holds a colon: without a password, that is an empty one.
    login = f"{_encoded(user)}:{_encoded(password)}"
    # Without a password only the user name would be masked, and a short one stands in too many innocent words.
    spellings = ({userinfo, login} if password else set[str]()) | {
        spelling for spelling in (password, unquote(password), _encoded(password)) if len(spelling) >= _SHORTEST_MASKED
    }
    return StreamAddress(
        url=f"{scheme}://{login}@{location}",
        shown=shown,
        secrets=tuple(sorted(spellings, key=len, reverse=True)),
        has_login=True,
    )


class Login(NamedTuple):
    """An address without its login, and the login. ``repr`` shows the password: do not print it."""

    address: str
    username: str | None
    password: str | None


def split_login(text: str) -> Login:
    """Return the address without user name and password, and both of them decoded; None for what it does not hold.

    Raises ConfigurationError, without the password, for an address with a login that cannot be read.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Login(text, None, None)
    userinfo, location = _split(rest)
    if not userinfo:
        return Login(text, None, None)
    parse_address(text)
    user, colon, password = userinfo.partition(":")
    return Login(f"{scheme}://{location}", unquote(user) or None, unquote(password) if colon else None)


def redact_source(text: str) -> str:
    """Return a source's text fit to be shown, also where the address in it is badly written."""
    scheme, separator, rest = text.partition("://")
    if not separator or "@" not in rest or not scheme.isalnum():
        return redact(text)
    try:
        return parse_address(text).shown
    except ConfigurationError:
        return redact(f"{scheme}://{MASK}@{rest.rpartition('@')[2]}")


def _split(rest: str) -> tuple[str, str]:
    """Return user info (empty if none) and everything after it.

    A password may hold ``/``, ``?`` or ``#`` as it is. That is no valid address, but people write it: what follows the
    last ``@`` is taken for the host where it can be nothing else, or where what comes first cannot be one.
    """
    authority = _host_of(rest)
    last_host = _host_of(rest.rpartition("@")[2])
    if "@" in rest[len(authority) :] and (
        _SURELY_A_HOST.fullmatch(last_host)
        or (":" in authority and not _HOST_AND_PORT.fullmatch(_after_login(authority)))
    ):
        cut = rest.rindex("@")
    elif "@" in authority:
        cut = authority.rindex("@")
    else:
        return "", rest
    return rest[:cut], rest[cut + 1 :]


def _host_of(rest: str) -> str:
    return _AUTHORITY_END.split(rest, maxsplit=1)[0]


def _after_login(authority: str) -> str:
    return authority.rpartition("@")[2]


def _encoded(part: str) -> str:
    return quote(unquote(part), safe="")
