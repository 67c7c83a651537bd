"""Parses camera addresses and separates the credentials, which must appear in no log and no error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote, unquote

from shared.errors import ConfigurationError
from shared.redact import MASK, redact, redact_value

_AUTHORITY_END = re.compile(r"[/?#]")
_HOST_AND_PORT = re.compile(r"(\[[^\]]+\]|[^:/?#@\s]+)(:[0-9]{1,5})?", re.UNICODE)
_UNAMBIGUOUS_HOST = re.compile(
    r"(\[[^\]]+\]|[0-9]{1,3}(\.[0-9]{1,3}){3}|[^:/?#@\s]+:[0-9]{1,5})(:[0-9]{1,5})?", re.UNICODE
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
ADDRESS_SCHEMES = ("rtsp", "rtsps", "http", "https")
MANAGED_SCHEMES = (*ADDRESS_SCHEMES, "file", "usb", "synthetic")
"""Sources that the API accepts and sends to devices: all of the agent's but `gst`."""
_MIN_MASKED_LENGTH = 4
"""Shorter passwords are masked only inside addresses, since they occur in too many ordinary words."""


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """The address of a stream. ``shown`` is safe to log; ``url`` and ``secrets`` are not and are hidden in ``repr``."""

    url: str = field(repr=False)
    """Address for FFmpeg, with user name and password percent-encoded."""
    shown: str
    secrets: tuple[str, ...] = field(repr=False, default=())
    has_login: bool = False
    """Whether the address contains a user name, a password or both (an empty password counts)."""

    def mask(self, text: str) -> str:
        """Mask this address's secrets in ``text``, in every encoding."""
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        return redact(text)


def parse_address(text: str) -> StreamAddress:
    """Parse ``scheme://user:password@host/path``; raise ConfigurationError if there is no valid host or port.

    The password may contain ``@``, ``/`` and similar characters, percent-encoded or not.
    """
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
        raise ConfigurationError(f"the address contains port {port}; a port must be from 1 to 65535")
    # After credentials, an "@" in the path may be part of an unencoded password: show only the text after it.
    shown = redact(f"{scheme}://{MASK}@{location.rpartition('@')[2]}" if userinfo else text)
    if not userinfo:
        return StreamAddress(url=text, shown=shown)
    user, _, password = userinfo.partition(":")
    # FFmpeg authenticates only if the user info contains a colon; without a password, add an empty one.
    login = f"{_encoded(user)}:{_encoded(password)}"
    # A user name without a password is not masked, since short names occur in too many ordinary words.
    spellings = ({userinfo, login} if password else set[str]()) | {
        spelling
        for spelling in (password, unquote(password), _encoded(password))
        if len(spelling) >= _MIN_MASKED_LENGTH
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
    """Return the address without user name and password, and both of them decoded; None if absent.

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


def check_managed_source(text: str) -> None:
    """Raise ValueError, without the text, for a source that the API does not send to a device.

    That is one that no agent can open, a GStreamer pipeline, or one with a secret that cannot be stored sealed.
    """
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else "file"
    rest = text[match.end() :] if match else text
    if scheme == "gst":
        raise ValueError(
            "must not be a GStreamer pipeline: its elements can read, write and send anything on the device, so the"
            " agent takes one from its own agent.toml only"
        )
    if scheme not in MANAGED_SCHEMES and rest.startswith("//"):
        raise ValueError(f"must be a video file, or begin with one of {', '.join(MANAGED_SCHEMES)}")
    try:
        if scheme in ADDRESS_SCHEMES:
            parse_address(text)
        address = split_login(text).address
    except ConfigurationError:
        raise ValueError(f"must be {scheme}://HOST/PATH or {scheme}://USER:PASSWORD@HOST:PORT/PATH") from None
    if redact(address) != address:
        raise ValueError("has a secret in its query or path, which cannot be stored sealed; use username and password")


def redact_source(text: str) -> str:
    """Return a source's text with credentials masked, also if its address is malformed."""
    scheme, separator, rest = text.partition("://")
    if not separator or "@" not in rest or not scheme.isalnum():
        return redact_value(text)
    try:
        return parse_address(text).shown
    except ConfigurationError:
        return redact(f"{scheme}://{MASK}@{rest.rpartition('@')[2]}")


def _split(rest: str) -> tuple[str, str]:
    """Return the user info (empty if none) and everything after it.

    Users write passwords with an unencoded ``/``, ``?`` or ``#``, although such an address is invalid. The text after
    the last ``@`` is then used as the host if it must be one, or if the first candidate cannot be one.
    """
    authority = _host_of(rest)
    last_host = _host_of(rest.rpartition("@")[2])
    if "@" in rest[len(authority) :] and (
        _UNAMBIGUOUS_HOST.fullmatch(last_host)
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
