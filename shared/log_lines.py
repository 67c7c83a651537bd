"""Text of devices and clients in one line, which ends where it seems to end; and log records in such lines."""

from __future__ import annotations

import logging
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any, Final, TextIO

LINE_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
_NEVER_IN_A_LINE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Control characters, among them line ends and the escape of terminals; halves of a character, which cannot be encoded;
Unicode's own line and paragraph ends."""
_BIDI_CONTROLS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They change the order in which the characters after them are shown."""


def in_one_line(text: str) -> str:
    """Return the text with everything that ends, overwrites or reorders a line as an escape, such as ``\\n``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) if is_hidden_control(character) else character for character in text)


def is_hidden_control(character: str) -> bool:
    """Return whether the character ends, overwrites or reorders the line that it is in."""
    return unicodedata.category(character) in _NEVER_IN_A_LINE or character in _BIDI_CONTROLS


class OneLineFormatter(logging.Formatter):
    """Formats each record as one line, so that no text in it can look like another record.

    The traceback of an exception follows on lines of its own.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in logging
        return in_one_line(super().formatMessage(record))


def line_handler(
    line_format: str = LINE_FORMAT, *, stream: TextIO | None = None, defaults: Mapping[str, Any] | None = None
) -> logging.Handler:
    """Return a handler that writes lines to ``stream``, which is stderr unless given."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(OneLineFormatter(line_format, defaults=defaults))
    return handler


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
