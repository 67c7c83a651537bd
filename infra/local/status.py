"""The status of a stack, read from its state folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.local.processes.process import PidFile
from infra.local.processes.stack_options import DEFAULT_REDIS_PORT
from infra.local.processes.state_folder import StateFolder


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part of the stack."""

    name: str
    pid: int | None
    """None if the part does not run."""
    url: str


@dataclass(frozen=True, slots=True)
class StackStatus:
    """The whole stack."""

    phase: str
    """``ready``, ``starting``, ``stopping``, ``stopped`` or ``crashed``."""
    state: str
    parts: tuple[PartStatus, ...]
    bucket: str
    objects: str
    """Folder of the bucket's objects."""

    @property
    def ready(self) -> bool:
        return self.phase == "ready" and all(part.pid is not None for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``status --json`` prints."""
        return {
            "phase": self.phase,
            "ready": self.ready,
            "state": self.state,
            "bucket": self.bucket,
            "objects": self.objects,
            "parts": {part.name: {"pid": part.pid, "url": part.url or None} for part in self.parts},
        }


_URL_NAMES = {"postgres": "database", "api": "api", "broker": "broker", "redis": "redis", "aws": "aws"}


def read_status(state: StateFolder) -> StackStatus:
    """Read the pid files and the description that the supervisor wrote."""
    description = state.description()
    phase = str(description.get("phase", "stopped"))
    supervisor = state.supervisor.read()
    if supervisor is None or not supervisor.alive:
        phase = "stopped" if phase in {"stopped", "stopping"} else "crashed"
    urls: dict[str, str] = description.get("urls", {})
    parts = [
        PartStatus(name=name, pid=_pid(state, name), url=urls.get(_URL_NAMES.get(name, ""), ""))
        for name in description.get("parts", ())
    ]
    return StackStatus(
        phase=phase,
        state=str(state.path),
        parts=tuple(parts),
        bucket=str(description.get("bucket", "")),
        objects=str(description.get("objects", state.objects)),
    )


def show_status(status: StackStatus) -> None:
    """Print a table of parts and the address of the API documentation."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "pid", "address"):
        table.add_column(heading, overflow="fold")
    for part in status.parts:
        table.add_row(part.name, str(part.pid) if part.pid else "[red]down[/red]", part.url)
    console.print(f"{'[green]' if status.ready else '[yellow]'}{status.phase}[/] · state in {status.state}")
    if status.parts and status.phase != "stopped":
        console.print(table)
    if Path(status.objects).parent != Path(status.state):
        console.print(f"snapshots in {status.objects}")
    if note := redis_note(status):
        console.print(note)
    api = next((part.url for part in status.parts if part.name == "api"), "")
    if status.ready and api:
        console.print(f"API documentation: {api}/docs")


def redis_note(status: StackStatus) -> str | None:
    """Return where Redis is, if a client would look for it at its usual port in vain."""
    url = next((part.url for part in status.parts if part.name == "redis"), "")
    port = urlsplit(url).port if url else None
    if port is None or port == DEFAULT_REDIS_PORT:
        return None
    return (
        f"Redis is on port {port}, that of its first start;"
        f" REDIS_PORT={DEFAULT_REDIS_PORT} vedette-local up moves it to {DEFAULT_REDIS_PORT} where that is free"
    )


def _pid(state: StateFolder, name: str) -> int | None:
    identity = PidFile(state.run / f"{name}.pid").read()
    return identity.pid if identity is not None and identity.alive else None
