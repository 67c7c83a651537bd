"""The folder with the objects of the stack's bucket: in the state folder, or the one that SNAPSHOTS_DIR names.

The choice is kept in the state folder, so that a start without the variable finds the snapshots. Objects are never
moved: a start with another folder is refused while the bucket has objects in the previous one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from pathlib import Path

from infra.local.processes.state_folder import StateFolder
from shared.errors import ConfigurationError

_HEADS = ".head"


def objects_folder(state: StateFolder) -> Path:
    """Return the folder of the previous start; the one in the state folder if none was named."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return Path(json.loads(_record(state).read_text(encoding="utf-8"))["folder"])
    return state.objects


def choose_objects_folder(state: StateFolder, wanted: str | None, *, bucket: str) -> Path:
    """Return the folder for this start, and keep the choice; ``wanted`` is None for that of the previous start.

    Raises:
        ConfigurationError: the bucket has objects in another folder than the wanted one, or the folder cannot be used.
    """
    previous = objects_folder(state)
    folder = previous if wanted is None else Path(wanted)
    if folder != previous and _has_objects(previous / bucket):
        raise ConfigurationError(_not_moved(previous, folder, bucket))
    _prepare(folder)
    if folder != previous:
        _record(state).write_text(json.dumps({"folder": str(folder)}), encoding="utf-8")
    return folder


def _record(state: StateFolder) -> Path:
    return state.path / "objects.json"


def _has_objects(bucket: Path) -> bool:
    return any(path.is_file() for path in bucket.rglob("*"))


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"SNAPSHOTS_DIR {folder} cannot be created: {error.strerror}") from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(f"SNAPSHOTS_DIR {folder} is not writable")


def _not_moved(previous: Path, folder: Path, bucket: str) -> str:
    parts = [shlex.quote(str(previous / name)) for name in (bucket, _HEADS) if (previous / name).exists()]
    target = shlex.quote(f"{folder}/")
    return (
        f"SNAPSHOTS_DIR names {folder}, but the snapshots of this stack are in {previous}, and are not moved by"
        f" themselves. Move them while the stack is stopped (mkdir -p {target} && mv {' '.join(parts)} {target}),"
        " or unset SNAPSHOTS_DIR"
    )
