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
    """Return ``text`` with user info and secret query values of all its URLs masked.

    A password may contain ``@``: everything up to the last ``@`` before the host is masked.
    """
    return _QUERY_SECRET.sub(rf"\g<name>{MASK}", _URL_USERINFO.sub(rf"\g<scheme>{MASK}@", text))
