"""The files of the dashboard: package data in ``static/``, read once per process, on first use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[1] / "static"
INDEX: Final = "index.html"
MEDIA_TYPES: Final = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)
"""The kinds of files that are served. Others, such as the types for the checker, stay in the folder."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, with its media type and ``ETag``."""

    content: bytes
    media_type: str
    etag: str


class StaticFiles:
    """The files below ``folder``. A name that is not one of them is never looked for on the disk."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    @cached_property
    def files(self) -> dict[str, StaticFile]:
        """Every file by its path below the folder, such as ``views/events.js``."""
        paths = sorted(path for path in self._folder.rglob("*") if path.suffix in MEDIA_TYPES and path.is_file())
        return {path.relative_to(self._folder).as_posix(): _read(path) for path in paths}

    @cached_property
    def version(self) -> str:
        """A digest of all files. It is part of their addresses, so that browsers may keep them for ever."""
        lines = "\n".join(f"{name} {file.etag}" for name, file in self.files.items())
        return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    return StaticFile(content, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
