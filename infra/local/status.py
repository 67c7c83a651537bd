"""The status of a stack, read from its state folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.local.processes.first_admin import FirstAdmin
from infra.local.processes.process import PidFile
from infra.local.processes.stack_options import DEFAULT_REDIS_PORT
from infra.local.processes.state_folder import StateFolder
from shared.redact import redact


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
    urls: Mapping[str, str] = field(default_factory=dict[str, str])
    """Addresses by service, with secrets masked: ``api``, ``redis``, ``broker``, ``database``, ``aws``."""

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
        urls=urls,
    )


def banner_lines(urls: Mapping[str, str], *, admin: FirstAdmin | None) -> Iterator[tuple[str, str]]:
    """Yield label and text of each line that says where the stack is, and a new admin's password."""
    yield "page", f"{urls['api']}/"
    yield "API", f"{urls['api']}/docs"
    yield "Redis", redact(urls["redis"])
    yield "MQTT", redact(urls["broker"])
    if "metrics" in urls:
        yield "metrics", urls["metrics"]
    if admin is not None:
        yield "admin", f"{admin.username} / {admin.password}"


def show_status(status: StackStatus, *, admin: FirstAdmin | None = None) -> None:
    """Print a table of parts and where to reach the stack; with ``admin``, its name and password too."""
    from rich.console import Console
    from rich.markup import escape
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
    if status.ready:
        for label, text in banner_lines(status.urls, admin=admin):
            console.print(f"  [bold]{label:<8}[/bold] {escape(text)}", soft_wrap=True)


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
