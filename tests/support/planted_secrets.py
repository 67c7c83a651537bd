"""Recognisable secrets, and the search for them in everything that a system writes, sends and stores."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

SPECIAL = "/@:%+é\"' \\{}&<"
"""Characters that encodings replace, and that split an address or a command line at the wrong place."""
_SKIPPED = (0, 2, 3)
"""Characters of base64 that depend on 0, 1 or 2 bytes in front of the text."""


class PlantedSecrets:
    """Secrets by name. ``leaks`` names each one that is found, in any usual encoding."""

    def __init__(self) -> None:
        self._needles: dict[str, set[bytes]] = {}

    def plant(self, name: str, text: str) -> str:
        """Register a secret text and return it."""
        self._needles[name] = set(spellings(text.encode())) | set(_of_text(text))
        return text

    def plant_bytes(self, name: str, content: bytes) -> bytes:
        """Register a secret key and return it."""
        self._needles[name] = set(spellings(content))
        return content

    def made_up(self, name: str) -> str:
        """Plant and return a password with ``SPECIAL`` characters. Its letters alone count as a leak as well."""
        word = "Pl4nted" + name.title().replace(" ", "")
        self.plant(f"{name} (a part)", word)
        return self.plant(name, f"{word}{SPECIAL}9")

    def leaks(self, evidence: Mapping[str, bytes]) -> list[str]:
        """Return ``NAME in SOURCE`` for each secret in each piece of evidence, sorted."""
        return sorted(
            f"{name} in {source}"
            for source, content in evidence.items()
            for name, needles in self._needles.items()
            if any(needle in content for needle in needles)
        )


def spellings(content: bytes) -> Iterator[bytes]:
    """Yield the content as it is, in hexadecimal, and in base64 at any position of a longer text."""
    yield content
    yield content.hex().encode()
    yield content.hex().upper().encode()
    for before, skipped in enumerate(_SKIPPED):
        encoded = b64encode(bytes(before) + content)[skipped : (before + len(content)) * 8 // 6]
        yield encoded
        yield encoded.translate(bytes.maketrans(b"+/", b"-_"))


def _of_text(text: str) -> Iterator[bytes]:
    percent = quote(text, safe="")
    for spelling in (
        percent,
        percent.lower(),
        quote(text),
        quote_plus(text),
        quote(percent, safe=""),
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(text))[3:-3],
        repr(text)[1:-1],
        html.escape(text),
        text.replace("\\", "\\\\"),  # COPY
        text.replace('"', '""'),  # CSV
    ):
        yield spelling.encode()
