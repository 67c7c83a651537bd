"""Which normal form a read has, where its device (or an earlier release) computed one that dropped letters.

Earlier releases made the normal form of A-Z and 0-9 alone: Cyrillic ``А123ВС77`` and ``О123КК77`` both became
``12377``. Agents of such a release still send that, and databases hold it. The plate as it was read is stored beside
it, so the right form can be computed from that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from itertools import product
from typing import Any, Final

from shared.plates import normalize_plate

MAX_AMBIGUOUS_LETTERS: Final = 9
"""Letters; the forms that are possible double with each."""


def normal_form(license_plate: str, plate_normalized: str) -> str:
    """Return what a read is compared by: ``plate_normalized``, unless the earlier rule made it of ``license_plate``.

    A device may well send another form of its own; that one stays.
    """
    if license_plate.isascii() or legacy_normal_form(license_plate) != plate_normalized:
        return plate_normalized
    return normalize_plate(license_plate)


def legacy_normal_form(text: str) -> str:
    """Return the normal form by the earlier rule: letters A-Z and digits 0-9, everything else dropped."""
    decomposed = unicodedata.normalize("NFKD", text).upper()
    return "".join(char for char in decomposed if char.isascii() and char.isalnum())


def legacy_normal_forms(plate: str) -> set[str]:
    """Return what reads of a plate (in today's normal form) may have been stored as by the earlier rule.

    Any letter may have been written in an alphabet of which the rule dropped it, so each is there or not: of a plate of
    up to ``MAX_AMBIGUOUS_LETTERS`` letters all possibilities, of one with more only all letters or none.
    """
    kept = [char for char in plate if char.isascii()]
    letters = sum(char.isalpha() for char in kept)
    if letters > MAX_AMBIGUOUS_LETTERS:
        return {"".join(kept), "".join(filter(str.isdigit, kept))}
    choices = [(char, "") if char.isalpha() else (char,) for char in kept]
    return {"".join(chosen) for chosen in product(*choices)}


def with_normal_form(event_data: dict[str, Any]) -> dict[str, Any] | None:
    """Return an ``anpr`` event's data with the right normal form; None where it has it."""
    result, told = event_data.get("anpr_result"), event_data.get("plate_normalized")
    read = result.get("license_plate") if isinstance(result, Mapping) else None
    if not isinstance(read, str) or not isinstance(told, str):
        return None
    right = normal_form(read, told)
    return None if right == told else event_data | {"plate_normalized": right}
