"""The login in the address of an RTSP camera, short enough for FFmpeg.

FFmpeg's RTSP reader silently cuts a login after 127 bytes, and the camera then refuses it. It decodes ``%40`` and such
after that, so a long login is written with as few of them as an address allows: a letter outside ASCII takes 6 to 12
bytes as ``%C3%A4`` and 2 to 4 as it is.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final
from urllib.parse import quote, unquote

from shared.errors import ConfigurationError
from shared.stream_address import StreamAddress

MAX_LOGIN_BYTES: Final = 127
"""User name, colon and password, as they are in the address."""
_SCHEMES: Final = ("rtsp", "rtsps")
_QUOTED: Final = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=\u0080-\U0010ffff-]")


def fitting_login(address: StreamAddress) -> StreamAddress:
    """Return the address with a login that FFmpeg passes on whole. Raises ConfigurationError if it is too long."""
    scheme, _, rest = address.url.partition("://")
    if not address.has_login or scheme.lower() not in _SCHEMES:
        return address
    login, _, location = rest.partition("@")
    if len(login) <= MAX_LOGIN_BYTES:
        return address
    user, _, password = login.partition(":")
    shorter = f"{_shorter(user)}:{_shorter(password)}"
    if (length := len(shorter.encode())) > MAX_LOGIN_BYTES:
        raise ConfigurationError(
            f"the user name and the password take {length} bytes in the camera's address, of which FFmpeg sends"
            f" {MAX_LOGIN_BYTES}; give the camera a shorter password"
        )
    secrets = sorted({*address.secrets, shorter, _shorter(password)}, key=len, reverse=True)
    return replace(address, url=f"{scheme}://{shorter}@{location}", secrets=tuple(filter(None, secrets)))


def _shorter(part: str) -> str:
    return _QUOTED.sub(lambda found: quote(found[0], safe=""), unquote(part))
