"""Number plates as text: one normal form that edge, ingest and search agree on.

The normal form merges only what the tables below name. Everything else is kept, so that two plates which differ in a
letter or a digit never become one. ``docs/reference/plates.md`` has the same tables for users.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MAX_PLATE_LENGTH: Final = 16
"""Characters of a plate in normal form."""

HOMOGLYPHS: Final[Mapping[str, str]] = MappingProxyType(
    dict(zip("АВЕКМНОРСТУХІЈЅ", "ABEKMHOPCTYXIJS", strict=True))
    | dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True))
)
"""Cyrillic and Greek letters that look like Latin ones; a plate reader cannot distinguish them."""

TRANSLITERATIONS: Final[Mapping[str, str]] = MappingProxyType(
    dict(zip("ĐÐƉĦŁØŦŊȺɃȻɆǤƗɈȽɌȾɄɎƵ", "DDDHLOTNABCEGIJLRTUYZ", strict=True))
    | {"Æ": "AE", "Œ": "OE", "Þ": "TH", "ẞ": "SS"}
)
"""Latin letters that Unicode does not take apart (strokes, ligatures); those with accents lose the accent instead."""

_MAPPED: Final = {**HOMOGLYPHS, **TRANSLITERATIONS}

_INVISIBLE_RANGES: Final = (
    (0xAD, 0xAD),
    (0x61C, 0x61C),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xE0000, 0xE0FFF),
)
INVISIBLE: Final = frozenset(chr(code) for first, last in _INVISIBLE_RANGES for code in range(first, last + 1))
"""What nobody sees: zero-width spaces, direction marks, variation selectors, tags (Unicode's
Default_Ignorable_Code_Point, without letters and musical signs). Such come along when a plate is copied from a page."""

SEPARATORS: Final = INVISIBLE | frozenset(
    string.punctuation
    + string.whitespace
    + "\x1c\x1d\x1e\x1f\x85"  # the other control characters that are white space
    + "−∙⋅●"
)
"""Dropped, with whatever Unicode counts as punctuation (P) or space (Z): ASCII signs, white space, invisible marks."""

_QUERY_SEPARATORS: Final = INVISIBLE | frozenset("._|·•‧・∙⋅●−")
_FRACTION_SLASH: Final = "\u2044"
"""What remains between the digits of ``½`` in normal form, so that it is another plate than ``12``."""
_DROPPED_ASCII: Final = dict.fromkeys(map(ord, string.punctuation + string.whitespace + "\x1c\x1d\x1e\x1f"))
_ACCENTS: Final = (range(0x300, 0x370), range(0x1AB0, 0x1B00), range(0x1DC0, 0x1E00), range(0x20D0, 0x2100))


def normalize_plate(text: str) -> str:
    """Return the form in which plates are compared: ``"b-äk 123"`` → ``"BAK123"``, Cyrillic ``"А1 ВС"`` → ``"A1BC"``.

    Upper case; compatibility forms (full width, mathematical, ligatures) as the characters they stand for (NFKC);
    ``HOMOGLYPHS`` and ``TRANSLITERATIONS`` as Latin letters; accents on those and on Latin letters dropped, as are
    separators. All other letters, digits, marks and symbols are kept as they are.
    """
    if text.isascii():
        return text.upper().translate(_DROPPED_ASCII)
    kept: list[str] = []
    for char in _decomposed(text):
        if is_separator(char):
            continue
        on_latin = bool(kept) and kept[-1].isascii() and kept[-1].isalnum()
        if not (on_latin and _is_accent(char)):
            kept.append(_MAPPED.get(char, char))
    return unicodedata.normalize("NFC", "".join(kept))


def is_separator(char: str) -> bool:
    """Return whether the character only separates, and is dropped from the normal form."""
    return char in SEPARATORS or unicodedata.category(char)[0] in "PZ"


def require_plate(text: str, *, least: int = 1) -> str:
    """Return the normal form of a plate that somebody typed, of ``least`` to ``MAX_PLATE_LENGTH`` characters.

    Raises:
        ValueError: it holds what no plate has (an emoji, a control character, a wildcard), which is named, or it is
            too short or too long.
    """
    for char in text:
        if not is_plate_character(char) and not is_query_separator(char):
            raise ValueError(
                "must be a plate: letters and digits, with spaces, dots and hyphens between them;"
                f" {describe(char)} is none of these"
            )
    plate = normalize_plate(text)
    if not least <= len(plate) <= MAX_PLATE_LENGTH or not any(map(str.isalnum, plate)):
        raise ValueError(f"must be a plate of {least} to {MAX_PLATE_LENGTH} letters and digits")
    return plate


def is_plate_character(char: str) -> bool:
    """Return whether the character is a letter or digit of any script, or a mark that belongs to one.

    That includes whatever of those remains in normal form, so a plate may be asked for by its normal form.
    """
    kind = unicodedata.category(char)
    return kind[0] in "LN" or char == _FRACTION_SLASH or (kind in ("Mn", "Mc") and char not in INVISIBLE)


def describe(char: str) -> str:
    """Return a character for an error message: itself where it can be printed, its code point and its name."""
    shown = f"'{char}' " if char.isprintable() else ""
    kinds = {"Cc": "control character", "Cs": "surrogate", "Co": "private use"}
    name = unicodedata.name(char, kinds.get(unicodedata.category(char), "unnamed"))
    return f"{shown}(U+{ord(char):04X}, {name})"


def is_query_separator(char: str) -> bool:
    """Return whether somebody who types a plate or a pattern may put the character between letters and digits."""
    return char in _QUERY_SEPARATORS or unicodedata.category(char) in ("Pd", "Zs")


def compose(text: str) -> str:
    """Return text in Unicode's composed form, without accents that have no such form on a letter that looks Latin.

    For patterns, whose characters are brought into normal form one by one.
    """
    if text.isascii():
        return text
    kept: list[str] = []
    for char in unicodedata.normalize("NFC", text):
        on_latin = bool(kept) and kept[-1].isalpha() and normalize_plate(kept[-1]).isascii()
        if not (on_latin and _is_accent(char)):
            kept.append(char)
    return "".join(kept)


def _is_accent(char: str) -> bool:
    """Return whether the mark is one of those that Latin, Greek and Cyrillic letters carry."""
    return bool(unicodedata.combining(char)) and any(ord(char) in block for block in _ACCENTS)


def _decomposed(text: str) -> str:
    """Return upper case in Unicode's compatibility decomposition; both again until neither changes anything."""
    while True:
        changed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).upper())
        if changed == text:
            return text
        text = changed
