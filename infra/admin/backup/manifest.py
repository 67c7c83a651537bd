"""The manifest of a backup: what is in it, with the checksum of each file. It is written last.

A folder holds one complete backup: the one that its manifest names. A newer one that was not finished is in the folder
too, without a manifest, until the next run replaces it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from shared.errors import ConfigurationError, PermanentError

FORMAT: Final = 1
"""A release reads backups of this format and of older ones."""
NAME: Final = "manifest.json"
RUN_PREFIX: Final = "run-"
OBJECTS: Final = "objects"
MASTER_KEY: Final = "master.key"
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class TableFile:
    """The rows of one table, in COPY's text format, compressed with gzip."""

    table: str
    columns: list[str]
    file: str
    rows: int
    row_digest: str
    """Of the rows in any order, as ``RowDigest`` computes it."""
    sha256: str
    """Of the file."""


@dataclass(frozen=True, slots=True)
class ObjectsPart:
    """The objects of the bucket."""

    mode: str
    """``copy``, ``manifest`` or ``none``."""
    bucket: str = ""
    file: str = ""
    """The list of objects: JSON lines, compressed with gzip; empty for none."""
    sha256: str = ""
    objects: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One complete backup."""

    backup_id: str
    created_at: str
    """Instant of the database's snapshot."""
    release: str
    server_version: str
    revision: str
    run: str
    """Folder of its files."""
    tables: list[TableFile]
    sequences: dict[str, int]
    months: list[str]
    """First instants of the months with a partition of events."""
    objects: ObjectsPart
    master_keys: list[str] = field(default_factory=list[str])
    """The keys that what is sealed needs, as ``file:NAME`` or ``kms:ARN``."""
    has_master_key: bool = False
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write it atomically: from here on, it is the backup of the folder."""
        content = asdict(self)
        text = json.dumps({"checksum": _checksum(content), **content}, indent=2)
        temporary = folder / f"{NAME}.new"
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / NAME)


def read_manifest(folder: Path) -> Manifest:
    """Return the backup of a folder.

    Raises:
        ConfigurationError: there is none, it was not finished, or it is of a newer release.
        PermanentError: the manifest is damaged.
    """
    try:
        content: Any = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if is_unfinished(folder):
            raise ConfigurationError(
                f"the backup in {folder} was not finished: run vedette-admin backup {folder} again, or use another one"
            ) from None
        raise ConfigurationError(f"{folder} holds no backup: it has no {NAME}") from None
    except OSError as error:
        raise ConfigurationError(f"{folder / NAME} cannot be read: {error.strerror}") from None
    except ValueError:
        raise PermanentError(f"{folder / NAME} is damaged: it is not JSON") from None
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise PermanentError(f"{folder / NAME} is not the manifest of a backup")
    if content["format"] > FORMAT:
        raise ConfigurationError(
            f"the backup in {folder} has format {content['format']}, and this release reads up to {FORMAT}: install"
            f" release {content.get('release')} or newer"
        )
    checksum = content.pop("checksum", None)
    if checksum != _checksum(content):
        raise PermanentError(f"{folder / NAME} is damaged: its checksum is wrong")
    tables = [TableFile(**table) for table in content.pop("tables")]
    manifest = Manifest(tables=tables, objects=ObjectsPart(**content.pop("objects")), **content)
    names = [manifest.run, *(table.file for table in tables), manifest.objects.file or NAME]
    if any("/" in name or name in {"", ".", ".."} for name in names):
        raise PermanentError(f"{folder / NAME} names a file outside of the backup")
    return manifest


def is_unfinished(folder: Path) -> bool:
    """Return whether the folder has files of a backup that was not finished."""
    try:
        current = json.loads((folder / NAME).read_text(encoding="utf-8")).get("run")
    except (OSError, ValueError, AttributeError):
        current = None
    return any(path.name != current for path in folder.glob(f"{RUN_PREFIX}*"))


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class HashingFile:
    """A file for writing that computes the SHA-256 of what is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


@contextmanager
def hashed_file(path: Path) -> Generator[HashingFile]:
    """Open a file for writing, and sync it to the disk at the end."""
    with path.open("wb") as file:
        yield HashingFile(file)
        file.flush()
        os.fsync(file.fileno())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; raise OSError if it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
