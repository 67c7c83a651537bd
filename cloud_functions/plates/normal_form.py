"""Corrects the normal form of reads for which an agent of an earlier release dropped letters.

Earlier releases kept only A-Z and 0-9: Cyrillic ``А123ВС77`` and ``О123КК77`` both became ``12377``. Agents of such a
release still send this form, and databases contain it. The plate as read is stored with it, so the current normal form
can be computed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from itertools import product
from typing import Any, Final

from shared.plates import normalize_plate

MAX_AMBIGUOUS_LETTERS: Final = 9
"""The number of possible forms doubles with each ambiguous letter."""


def normal_form(license_plate: str, plate_normalized: str) -> str:
    """Return the form in which a read is compared: ``plate_normalized``, unless the legacy rule produced it.

    A form that a device computes by its own rule stays unchanged.
    """
    if license_plate.isascii() or legacy_normal_form(license_plate) != plate_normalized:
        return plate_normalized
    return normalize_plate(license_plate)


def legacy_normal_form(text: str) -> str:
    """Return the normal form by the legacy rule: letters A-Z and digits 0-9, without all other characters."""
    decomposed = unicodedata.normalize("NFKD", text).upper()
    return "".join(char for char in decomposed if char.isascii() and char.isalnum())


def legacy_normal_forms(plate: str) -> set[str]:
    """Return the forms in which reads of a plate (in the current normal form) may be stored by the legacy rule.

    The legacy rule dropped a letter if it was written in another alphabet, so each letter may be present or missing.
    For a plate with more than ``MAX_AMBIGUOUS_LETTERS`` letters, only the forms with all letters and with none are
    returned.
    """
    kept = [char for char in plate if char.isascii()]
    letters = sum(char.isalpha() for char in kept)
    if letters > MAX_AMBIGUOUS_LETTERS:
        return {"".join(kept), "".join(filter(str.isdigit, kept))}
    choices = [(char, "") if char.isalpha() else (char,) for char in kept]
    return {"".join(chosen) for chosen in product(*choices)}


def with_normal_form(event_data: dict[str, Any]) -> dict[str, Any] | None:
    """Return an ``anpr`` event's data with the correct normal form, or None if it is correct already."""
    result, sent = event_data.get("anpr_result"), event_data.get("plate_normalized")
    text = result.get("license_plate") if isinstance(result, Mapping) else None
    if not isinstance(text, str) or not isinstance(sent, str):
        return None
    correct = normal_form(text, sent)
    return None if correct == sent else event_data | {"plate_normalized": correct}
