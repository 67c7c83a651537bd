"""The journal of a device: what it has captured, stored and had acknowledged, written independently of the outbox.

Each line is appended with one ``write``, so that ``kill -9`` of the process loses no line that was written.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CAPTURED: Final = "captured"
KEPT: Final = "kept"
ACKNOWLEDGED: Final = "acknowledged"
REFUSED: Final = "refused"


class JournalWriter:
    """Appends lines ``what event_id unix_time``. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, what: str, event_id: str, *, at_s: float | None = None, detail: str = "") -> None:
        line = f"{what} {event_id} {time.time() if at_s is None else at_s:.6f} {detail}".rstrip()
        os.write(self._file, f"{line}\n".encode())

    def close(self) -> None:
        os.close(self._file)


@dataclass(slots=True)
class Journal:
    """What devices wrote: event ids, each with the Unix time in seconds when it happened first."""

    captured: dict[str, float] = field(default_factory=dict[str, float])
    """Events that were about to be put into the outbox."""
    kept: dict[str, float] = field(default_factory=dict[str, float])
    """Events whose put returned. These the outbox has promised to deliver."""
    acknowledged: dict[str, float] = field(default_factory=dict[str, float])
    """Events for which the broker has sent PUBACK."""
    refused: dict[str, float] = field(default_factory=dict[str, float])
    """Events whose put raised an error."""
    images: dict[str, str] = field(default_factory=dict[str, str])
    """Object key of each image of a kept event, and the SHA-256 of its content."""

    def read(self, path: Path) -> None:
        """Add the lines of a file. A last line without its end is ignored: the process was killed while writing."""
        if not path.is_file():
            return
        times = {CAPTURED: self.captured, KEPT: self.kept, ACKNOWLEDGED: self.acknowledged, REFUSED: self.refused}
        images: dict[str, str] = {}
        for line in path.read_text(encoding="ascii").split("\n")[:-1]:
            what, event_id, at_s, *detail = line.split(" ")
            times[what].setdefault(event_id, float(at_s))
            if what == CAPTURED and detail:
                images[event_id] = detail[0]
            if what == KEPT and event_id in images:
                key, _, digest = images[event_id].partition("=")
                self.images[key] = digest
