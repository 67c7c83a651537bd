"""Keeps the batch that ingest is processing in a file, for the time that it takes.

If broker, rule and ingest end at the same time (a power cut), an event may be stored and not yet published, and the
broker, which keeps sessions in memory, does not deliver its message again. On AWS the queue in front of ingest does.
"""

from __future__ import annotations

import os
from pathlib import Path


class BatchJournal:
    """One file with the event of the current invocation; it does not exist between invocations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(f"{path.name}.new")

    def write(self, event: bytes) -> None:
        """Keep the event of an invocation that is about to begin. Only the owner may read it."""
        descriptor = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(event)
        self._new.replace(self._path)

    def clear(self) -> None:
        """Forget the event: the function has answered, or its messages will be delivered again."""
        self._path.unlink(missing_ok=True)

    def left(self) -> bytes | None:
        """Return the event of an invocation whose end the last process did not see; None without one."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
