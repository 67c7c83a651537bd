"""Chooses the user that PostgreSQL runs as: it refuses to run as root."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from shared.errors import ConfigurationError

NOBODY = 65534
SAME = "same"


def choose_identity(*, binaries: Path, state: Path) -> str:
    """Return the launcher's identity for a server that reads ``binaries`` and keeps its files under ``state``.

    A user other than root is kept. Root becomes uid 65534 if that user can enter both folders; otherwise (for example a
    state folder under /root) PostgreSQL runs in a user namespace in which root appears as uid 65534.
    """
    if os.geteuid() != 0:
        return SAME
    if _others_may_enter(binaries) and _others_may_enter(state):
        return f"setuid:{NOBODY}"
    identity = f"userns:{NOBODY}"
    if _launcher_works(identity):
        return identity
    raise ConfigurationError(
        f"PostgreSQL does not run as root, this system allows no user namespace, and uid {NOBODY} may not enter "
        f"{state} or {binaries}: name a state folder that others may enter (--state /var/tmp/vedette), "
        "or run as an ordinary user"
    )


def change_owner(folder: Path, identity: str) -> None:
    """Make the user that the server runs as the owner of a folder and its contents."""
    if os.geteuid() != 0:
        return
    owner = int(identity.partition(":")[2]) if identity.startswith("setuid:") else 0
    for path in (folder, *folder.rglob("*")):
        if path.lstat().st_uid != owner:
            os.chown(path, owner, owner, follow_symlinks=False)


def _others_may_enter(path: Path) -> bool:
    chain = [path.resolve(), *path.resolve().parents]
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in chain)


def _launcher_works(identity: str) -> bool:
    launcher = Path(__file__).with_name("launch.py")
    command = [sys.executable, "-I", "-S", str(launcher), str(os.getpid()), "9", identity, "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
