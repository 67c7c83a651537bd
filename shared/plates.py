"""Number plates as text: one normal form that edge, ingest and search agree on."""

from __future__ import annotations

import unicodedata

MAX_PLATE_LENGTH = 16


def normalize_plate(text: str) -> str:
    """Return upper-case letters and digits only: ``"b-äk 123"`` → ``"BAK123"``; accents fold to their base letter."""
    decomposed = unicodedata.normalize("NFKD", text).upper()
    return "".join(char for char in decomposed if char.isascii() and char.isalnum())
