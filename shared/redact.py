"""Removes credentials from text before it is logged or shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_URL_USERINFO = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*:/{1,2})"
    r"(?:[^\s/?#@:]*:(?!\d{1,5}[/?#])\S*|[^\s/?#]*)@",  # USER:PASSWORD, where the password may contain / ? #
    re.UNICODE,
)
_LOGIN = re.compile(r"[^\s/?#@:]*:.*@", re.DOTALL | re.UNICODE)
_QUERY_SECRET = re.compile(
    r"(?P<name>[?&;](?:[\w.-]*(?:pass|pwd|passwd|password|secret|token|key|auth|signature|credential)[\w.-]*)=)[^&;\s\"']*",
    re.IGNORECASE | re.UNICODE,
)
_PATH_PASSWORD = re.compile(r"(?P<name>[/_](?:pass|passwd|password|pwd)=)[^&;\s\"']*", re.IGNORECASE | re.UNICODE)
"""Of cameras whose addresses are ``/user=me_password=SECRET_channel=1``."""
_SECRET_NAME = re.compile(r"pass(word|wd)?$|pwd$|secret|token|credential", re.IGNORECASE)
MASK = "***"


def redact(text: str) -> str:
    """Return ``text`` with user info and secret values in the query or path of all its URLs masked.

    A password may contain ``@``, ``/``, ``?`` and ``#``: everything up to the last ``@`` is masked.
    """
    text = _URL_USERINFO.sub(rf"\g<scheme>{MASK}@", text)
    for secret in (_QUERY_SECRET, _PATH_PASSWORD):
        text = secret.sub(rf"\g<name>{MASK}", text)
    return text


def has_query_secret(text: str) -> bool:
    """Return whether the address has a secret value in its query."""
    return _QUERY_SECRET.search(text) is not None


def redact_value(text: str) -> str:
    """Return one value, such as a setting, redacted. It may be a malformed address, without a scheme or with spaces."""
    head, separator, rest = text.partition("//") if "//" in text else ("", "", text)
    login = _LOGIN.match(rest)
    return redact(text if login is None else f"{head}{separator}{MASK}@{rest[login.end() :]}")


def redact_values(value: Any) -> Any:
    """Return a JSON value with all its texts redacted, and with the values of names such as ``password`` masked."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            name: MASK if isinstance(inner, str) and _SECRET_NAME.search(name) else redact_values(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [redact_values(inner) for inner in value]
    return value
