"""How long JSON becomes once PostgreSQL writes it, and how to write it shorter without changing a value.

``jsonb`` keeps numbers as decimals and writes them out: ``1e300``, five bytes on the wire, comes back as 301 digits. An
event that keeps the limit of the wire could so take fifty times as much in every answer. It also puts a space after
each comma and colon.
"""

from __future__ import annotations

import re
from typing import Final

from shared.errors import ContractError
from shared.events import MAX_EVENT_BYTES

MAX_STORED_BYTES: Final = 2 * MAX_EVENT_BYTES
"""Longest ``event_data`` (with the snapshot's reference) as PostgreSQL writes it. Spaces alone make half as much again
of an event, so what is rejected holds thousands of numbers in exponential form."""
LONG: Final = 16 * 1024
"""Texts up to this many characters are not worth shortening."""
_MOST_GROWTH: Final = 64
"""No JSON becomes more than so many times as long: ``1e308,`` (6 bytes) becomes 311, ``5e-324,`` (7) becomes 329."""

_STRING: Final = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_EXPONENTS: Final = re.compile(rf"{_STRING}|[0-9.]+[eE]([+-]?[0-9]{{1,6}})", re.DOTALL)
_LONG_NUMBERS: Final = re.compile(rf"{_STRING}|(?<![0-9.eE])(-?[0-9.]{{24,}})(?![0-9.eE+-])", re.DOTALL)


def check_stored_size(event_data: str, snapshot: str | None = None) -> None:
    """Raise ContractError (``too_large``) where JSON becomes too long in the database; costs short texts nothing."""
    if (len(event_data) + (len(snapshot) if snapshot else 0)) * _MOST_GROWTH <= MAX_STORED_BYTES:
        return
    size = stored_bytes(event_data) + (stored_bytes(snapshot) if snapshot else 0)
    if size > MAX_STORED_BYTES:
        detail = f"an event that takes {size} bytes with its numbers written out; the limit is {MAX_STORED_BYTES}"
        raise ContractError(detail, reason="too_large")


def stored_bytes(text: str) -> int:
    """Return how many bytes compact JSON takes as PostgreSQL writes it, or a few more."""
    size = len(text.encode()) + text.count(",") + text.count(":")
    if "e" in text or "E" in text:
        size += sum(abs(int(found[1])) + 2 for found in _EXPONENTS.finditer(text) if found[1])
    return size


def short_numbers(text: str) -> str:
    """Return the same JSON with long numbers in exponential form (``1e300``): no value changes, not by a digit."""
    return text if len(text) <= LONG else _LONG_NUMBERS.sub(_shortened, text)


def _shortened(found: re.Match[str]) -> str:
    number: str | None = found[1]
    if number is None:
        return found[0]  # a string
    sign = "-" if number[0] == "-" else ""
    whole, _, fraction = number.removeprefix("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return number
    exponent = len(digits) - len(significant) - len(fraction)
    short = f"{sign}{significant}e{exponent}"
    return short if len(short) < len(number) else number
