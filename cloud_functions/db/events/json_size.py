"""The size of JSON as PostgreSQL prints it, and shorter notation for long numbers.

``jsonb`` stores numbers as decimals and prints all digits: ``1e300``, five bytes on the wire, is returned as 301
digits. An event within the wire's size limit could therefore take fifty times as much in a response. ``jsonb`` also
prints a space after each comma and colon.
"""

from __future__ import annotations

import re
from typing import Final

from shared.errors import ContractError
from shared.events import MAX_EVENT_BYTES

MAX_STORED_BYTES: Final = 2 * MAX_EVENT_BYTES
"""Maximum size of ``event_data`` with the snapshot's reference as PostgreSQL prints it. Spaces add at most half of an
event's size, so a rejected event contains thousands of numbers in exponential notation."""
SHORTEN_ABOVE_CHARS: Final = 16 * 1024
"""Texts up to this length are not shortened."""
_MAX_GROWTH: Final = 64
"""Maximum growth factor of JSON: ``1e308,`` (6 bytes) becomes 311, ``5e-324,`` (7 bytes) becomes 329."""

_STRING: Final = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_EXPONENTS: Final = re.compile(rf"{_STRING}|[0-9.]+[eE]([+-]?[0-9]{{1,6}})", re.DOTALL)
_LONG_NUMBERS: Final = re.compile(rf"{_STRING}|(?<![0-9.eE])(-?[0-9.]{{24,}})(?![0-9.eE+-])", re.DOTALL)


def check_stored_size(event_data: str, snapshot: str | None = None) -> None:
    """Raise ContractError (``too_large``) if JSON becomes too long in the database; short texts are not scanned."""
    if (len(event_data) + (len(snapshot) if snapshot else 0)) * _MAX_GROWTH <= MAX_STORED_BYTES:
        return
    size = stored_bytes(event_data) + (stored_bytes(snapshot) if snapshot else 0)
    if size > MAX_STORED_BYTES:
        detail = f"an event of {size} bytes with its numbers in decimal notation; the limit is {MAX_STORED_BYTES}"
        raise ContractError(detail, reason="too_large")


def stored_bytes(text: str) -> int:
    """Return an upper bound, close to the exact size, of the bytes of compact JSON as PostgreSQL prints it."""
    size = len(text.encode()) + text.count(",") + text.count(":")
    if "e" in text or "E" in text:
        size += sum(abs(int(match[1])) + 2 for match in _EXPONENTS.finditer(text) if match[1])
    return size


def short_numbers(text: str) -> str:
    """Return the same JSON with long numbers in exponential notation (``1e300``); all values stay exactly the same."""
    return text if len(text) <= SHORTEN_ABOVE_CHARS else _LONG_NUMBERS.sub(_shortened, text)


def _shortened(match: re.Match[str]) -> str:
    number: str | None = match[1]
    if number is None:
        return match[0]  # a string
    sign = "-" if number[0] == "-" else ""
    whole, _, fraction = number.removeprefix("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return number
    exponent = len(digits) - len(significant) - len(fraction)
    short = f"{sign}{significant}e{exponent}"
    return short if len(short) < len(number) else number
