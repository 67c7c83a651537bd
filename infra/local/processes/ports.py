"""Loopback ports: find a free one, check whether one accepts connections, find the process that listens on one."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_LISTEN = "0A"


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def is_free(port: int, *, host: str = LOOPBACK) -> bool:
    """Return whether a server could listen on the port now (connections in TIME_WAIT do not count)."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def answers(port: int, *, host: str = LOOPBACK) -> bool:
    """Return whether the port accepts TCP connections."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def listens(pid: int, port: int) -> bool:
    """Return whether the process accepts connections on the loopback port.

    Another process may have taken the port after it was chosen; its answers do not count. Without ``/proc`` (macOS) the
    owner is not known, and every listener counts.
    """
    if not answers(port):
        return False
    inodes = _listening_inodes(port)
    return not inodes or _holds_one_of(Path(f"/proc/{pid}"), inodes)


def describe_listener(port: int) -> str | None:
    """Return ``name (pid N)`` of the process that listens on the port; None if unknown."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        if _holds_one_of(process, inodes):
            with contextlib.suppress(OSError):
                name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                return f"{name} (pid {process.name})"
    return None


def _holds_one_of(process: Path, inodes: set[str]) -> bool:
    """Return whether a file descriptor of the process is one of the sockets; False if it cannot be read."""
    targets: list[str] = []
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # closed in the meantime
                targets.append(str(descriptor.readlink()))
    return any(target.startswith("socket:[") and target[8:-1] in inodes for target in targets)


def _listening_inodes(port: int) -> set[str]:
    """Return the inodes of the sockets that listen on the port, on any address."""
    inodes: set[str] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        rows = [line.split() for line in lines]
        inodes |= {row[9] for row in rows if row[3] == _LISTEN and int(row[1].rsplit(":", 1)[1], 16) == port}
    return inodes
