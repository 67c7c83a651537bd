"""The device that is examined."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from pathlib import Path

from edge_agent.config import AgentConfig, ModelPlaces
from shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Device:
    """Its configuration, and what is needed to examine it."""

    config: AgentConfig
    config_path: Path
    places: ModelPlaces
    clock: Clock

    def is_running(self) -> bool:
        """Return whether an agent holds the lock of the outbox."""
        try:
            with (self.config.state_dir / "outbox.db.lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False
