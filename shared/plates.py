"""The normal form of number plates, which the edge agent, ingest and search share.

Only the characters in the tables below are replaced. All others are kept, so plates that differ in a letter or a digit
have different normal forms. ``docs/reference/plates.md`` documents the same tables for users.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MAX_PLATE_LENGTH: Final = 16
"""Maximum length of a plate in normal form, in characters."""

HOMOGLYPHS: Final[Mapping[str, str]] = MappingProxyType(
    dict(zip("АВЕКМНОРСТУХІЈЅ", "ABEKMHOPCTYXIJS", strict=True))
    | dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True))
)
"""Cyrillic and Greek letters that look like Latin letters. A plate reader cannot distinguish them."""

TRANSLITERATIONS: Final[Mapping[str, str]] = MappingProxyType(
    dict(zip("ĐÐƉĦŁØŦŊȺɃȻɆǤƗɈȽɌȾɄɎƵ", "DDDHLOTNABCEGIJLRTUYZ", strict=True))
    | {"Æ": "AE", "Œ": "OE", "Þ": "TH", "ẞ": "SS"}
)
"""Latin letters with strokes, and ligatures: Unicode does not decompose them. Accented letters lose their accent."""

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
"""Invisible characters: zero-width spaces, direction marks, variation selectors, tags (Unicode's
Default_Ignorable_Code_Point, without letters and musical symbols). Text copied from a web page may contain them."""

SEPARATORS: Final = INVISIBLE | frozenset(
    string.punctuation
    + string.whitespace
    + "\x1c\x1d\x1e\x1f\x85"  # further control characters that are white space
    + "−∙⋅●"
)
"""Characters that are removed, in addition to Unicode's categories punctuation (P) and separator (Z)."""

_QUERY_SEPARATORS: Final = INVISIBLE | frozenset("._|·•‧・∙⋅●−")
_FRACTION_SLASH: Final = "\u2044"
"""Stays between the digits of ``½`` in normal form, so that ``½`` differs from ``12``."""
_DROPPED_ASCII: Final = dict.fromkeys(map(ord, string.punctuation + string.whitespace + "\x1c\x1d\x1e\x1f"))
_ACCENTS: Final = (range(0x300, 0x370), range(0x1AB0, 0x1B00), range(0x1DC0, 0x1E00), range(0x20D0, 0x2100))


def normalize_plate(text: str) -> str:
    """Return the normal form of a plate: ``"b-äk 123"`` → ``"BAK123"``, Cyrillic ``"А1 ВС"`` → ``"A1BC"``.

    The text is converted to upper case. Compatibility forms (full width, mathematical, ligatures) are replaced with
    their base characters (NFKC), ``HOMOGLYPHS`` and ``TRANSLITERATIONS`` with Latin letters. Separators and
    accents of Latin letters are removed. All other letters, digits, marks and symbols are kept.
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
    """Return whether the character is a separator, which the normal form does not contain."""
    return char in SEPARATORS or unicodedata.category(char)[0] in "PZ"


def require_plate(text: str, *, min_length: int = 1) -> str:
    """Return the normal form of a plate that a user entered: ``min_length`` to ``MAX_PLATE_LENGTH`` characters.

    Raises ValueError if the text is too short or too long, or contains a character that plates do not have (an emoji, a
    control character, a wildcard). The error names that character.
    """
    for char in text:
        if not is_plate_character(char) and not is_query_separator(char):
            raise ValueError(
                "must be a plate: letters and digits, with spaces, dots and hyphens between them;"
                f" {describe(char)} is not allowed"
            )
    plate = normalize_plate(text)
    if not min_length <= len(plate) <= MAX_PLATE_LENGTH or not any(map(str.isalnum, plate)):
        raise ValueError(f"must be a plate of {min_length} to {MAX_PLATE_LENGTH} letters and digits")
    return plate


def is_plate_character(char: str) -> bool:
    """Return whether the character is a letter or digit of any script, or a combining mark.

    All characters of a normal form qualify, so a search accepts normal forms.
    """
    kind = unicodedata.category(char)
    return kind[0] in "LN" or char == _FRACTION_SLASH or (kind in ("Mn", "Mc") and char not in INVISIBLE)


def describe(char: str) -> str:
    """Return a description for error messages: the character if it is printable, its code point and its name."""
    shown = f"'{char}' " if char.isprintable() else ""
    kinds = {"Cc": "control character", "Cs": "surrogate", "Co": "private use"}
    name = unicodedata.name(char, kinds.get(unicodedata.category(char), "unnamed"))
    return f"{shown}(U+{ord(char):04X}, {name})"


def is_query_separator(char: str) -> bool:
    """Return whether a plate or pattern entered by a user may contain the character between letters and digits."""
    return char in _QUERY_SEPARATORS or unicodedata.category(char) in ("Pd", "Zs")


def compose(text: str) -> str:
    """Return the text in Unicode's composed form. Removes accents that do not compose with a Latin-looking letter.

    Patterns need this because their characters are normalised one at a time.
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
    """Return whether the character is a combining accent of Latin, Greek or Cyrillic letters."""
    return bool(unicodedata.combining(char)) and any(ord(char) in block for block in _ACCENTS)


def _decomposed(text: str) -> str:
    """Return the text in upper case and Unicode's compatibility decomposition, repeated until it no longer changes."""
    while True:
        changed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).upper())
        if changed == text:
            return text
        text = changed
