"""The state folder of a stack: data, ports, pid files, logs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from infra.local.processes.ports import free_port, is_free
from infra.local.processes.process import PidFile
from shared.errors import ConfigurationError

log = logging.getLogger(__name__)

DEFAULT_STATE = Path(".vedette")
_MARKER = "vedette-state.json"
_FORMAT = 1


class StateFolder:
    """Paths and small files of the folder; nothing is created before ``prepare``."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.run = self.path / "run"
        self.logs = self.path / "logs"
        self.objects = self.path / "objects"
        self.metrics = self.run / "metrics"
        self.supervisor = PidFile(self.run / "supervisor.pid")
        self._description = self.run / "stack.json"
        self._lock: IO[str] | None = None

    @property
    def exists(self) -> bool:
        return (self.path / _MARKER).is_file()

    def prepare(self) -> None:
        """Create the folder if needed; raise ConfigurationError if it cannot be used."""
        if not str(self.path).isprintable():  # bytes that are not UTF-8 appear as surrogates
            raise ConfigurationError(
                f"the state folder's path {str(self.path)!a} contains bytes that are not UTF-8, or control characters: "
                "name another with --state"
            )
        try:
            if self.path.is_dir() and not self.exists and any(self.path.iterdir()):
                raise ConfigurationError(
                    f"{self.path} contains other files: name an empty or a new folder with --state"
                )
            self.path.mkdir(parents=True, exist_ok=True)
            # PostgreSQL runs as another user when started by root, and must be able to enter.
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for folder in (self.run, self.logs, self.objects, self.metrics):
                folder.mkdir(mode=0o700, exist_ok=True)
            (self.path / _MARKER).write_text(json.dumps({"format": _FORMAT}), encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"the state folder {self.path} cannot be used ({error.strerror}): name another with --state"
            ) from error

    def lock(self) -> bool:
        """Lock the folder for one supervisor; return False if another holds the lock."""
        file = (self.run / "lock").open("w", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._lock = file  # held until ``unlock`` or the end of the process
        return True

    def is_unchanged(self) -> bool:
        """Return whether the locked folder is still in place: False after it was removed, moved or created again."""
        if self._lock is None:
            return False
        held = os.fstat(self._lock.fileno())
        try:
            current = (self.run / "lock").stat()
        except OSError:
            return False
        return (held.st_ino, held.st_dev) == (current.st_ino, current.st_dev)

    def unlock(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @contextlib.contextmanager
    def lock_agent(self) -> Generator[None]:
        """Lock the folder for one demo agent; raise ConfigurationError if another demo holds the lock."""
        with (self.run / "agent.lock").open("w", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigurationError(
                    f"another demo already runs an agent in {self.path}: stop it, or name another folder with "
                    "--state (and another --port)"
                ) from None
            yield

    def ports(
        self, names: list[str], *, wanted: Mapping[str, int] | None = None, usual: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Return a port for each name: the first free one of the wanted, previous and usual ones, or a new one."""
        path = self.path / "ports.json"
        choices = (wanted or {}, _read_json(path), usual or {})
        ports: dict[str, int] = {}
        for name in names:
            candidates = [port for choice in choices if isinstance(port := choice.get(name), int)]
            free = (port for port in candidates if port not in ports.values() and is_free(port))
            ports[name] = next(free, 0) or _another_port(set(ports.values()))
        path.write_text(json.dumps(ports), encoding="utf-8")
        return ports

    def describe(self, description: dict[str, Any]) -> None:
        """Write the stack's description, which other commands read."""
        temporary = self._description.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(description, indent=2), encoding="utf-8")
            temporary.replace(self._description)
        except OSError as error:  # a full disk must not stop the stack
            with contextlib.suppress(OSError):
                temporary.unlink()
            log.warning("%s cannot be written: %s", self._description, error.strerror)

    def description(self) -> dict[str, Any]:
        """Return the description that was written last; empty if there is none."""
        return _read_json(self._description)

    def leftovers(self) -> Iterator[tuple[str, PidFile]]:
        """Yield name and pid file of every part that has a pid file."""
        for path in sorted(self.run.glob("*.pid")):
            if path.stem != "supervisor":
                yield path.stem, PidFile(path)

    def remove(self) -> None:
        """Delete the folder; raise ConfigurationError if it is not a state folder."""
        if not self.exists:
            raise ConfigurationError(f"{self.path} is not a state folder of vedette-local, so it is not deleted")
        shutil.rmtree(self.path)


def _another_port(taken: set[int]) -> int:
    while (port := free_port()) in taken:
        continue
    return port


def _read_json(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}
