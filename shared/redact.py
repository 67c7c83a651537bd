"""Removes credentials from text before it is logged or shown."""

from __future__ import annotations

import re

_URL_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<userinfo>[^\s/?#]*)@", re.UNICODE)
_QUERY_SECRET = re.compile(
    r"(?P<name>[?&;](?:[\w.-]*(?:pass|pwd|passwd|password|secret|token|key|auth|signature|credential)[\w.-]*)=)[^&;\s\"']*",
    re.IGNORECASE | re.UNICODE,
)
MASK = "***"


def redact(text: str) -> str:
    """Return ``text`` with the user info and secret query values of every URL in it masked.

    A password that itself holds ``@`` is masked up to the last ``@`` before the host ends.
    """
    return _QUERY_SECRET.sub(rf"\g<name>{MASK}", _URL_USERINFO.sub(rf"\g<scheme>{MASK}@", text))
