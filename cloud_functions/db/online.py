"""When a device counts as online. Cameras, commands and devices read it, so it is in none of their folders."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, LiteralString

SILENT_AFTER: Final = timedelta(seconds=90)
"""A device that has sent nothing for this time is offline, and so are its cameras."""
IS_ONLINE: Final[LiteralString] = "(status = 'online' AND last_seen_at > now() - interval '90 seconds')"
"""Condition on a row of ``devices`` (``SILENT_AFTER``)."""
