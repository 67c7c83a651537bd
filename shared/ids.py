"""Identifiers: UUIDv7 for events and commands, and the character set of names used in topics, keys and paths."""

from __future__ import annotations

import os
import re
import threading
import time
from typing import Annotated
from uuid import UUID

from pydantic import StringConstraints

from shared.errors import ContractError

SEGMENT_PATTERN = r"^[A-Za-z0-9_-]{1,100}$"
_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,100}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)

Segment = Annotated[str, StringConstraints(pattern=SEGMENT_PATTERN)]
"""A site, device or camera id. It contains no separators and no wildcards of topics, keys or paths."""


def is_segment(text: str) -> bool:
    """Return whether ``text`` is valid as one segment of a topic, a storage key or a path."""
    return _SEGMENT.fullmatch(text) is not None


def require_segment(text: str, *, name: str) -> str:
    """Return ``text`` unchanged. Raises ContractError, which contains the field ``name``, if it is invalid."""
    if not is_segment(text):
        raise ContractError(f"{name} must be 1 to 100 of A-Z a-z 0-9 _ -, got {text[:120]!r}", reason="bad_segment")
    return text


def is_uuid(text: str) -> bool:
    """Return whether ``text`` is a UUID in its usual form with hyphens."""
    return _UUID.fullmatch(text) is not None


class Uuid7Generator:
    """Generates strictly increasing UUIDv7 (RFC 9562, section 5.7). Thread-safe.

    The 12 bits of ``rand_a`` hold a counter (RFC 9562, section 6.2, method 1), so that ids generated in one
    millisecond sort in the order of generation.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0

    def __call__(self) -> UUID:
        with self._lock:
            now_ms = time.time_ns() // 1_000_000
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                self._counter = int.from_bytes(os.urandom(2)) & 0x7FF
            else:
                self._counter += 1
                if self._counter > 0xFFF:
                    self._last_ms += 1
                    self._counter = 0
            stamp, counter = self._last_ms, self._counter
        tail = int.from_bytes(os.urandom(8)) & 0x3FFF_FFFF_FFFF_FFFF
        return UUID(int=stamp << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | tail)
