"""Makes a backup: first the database, then the objects, and the manifest last.

The objects come last, so that those of each row that was dumped are there, unless they were deleted meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TextIO
from uuid import uuid4

from cloud_functions.plates.master_keys import FileMasterKeys
from infra.admin.backup.dump import dump_database
from infra.admin.backup.manifest import MASTER_KEY, NAME, RUN_PREFIX, Manifest, ObjectsPart, read_manifest
from infra.admin.backup.objects import ObjectCopier, StoredObject, list_bucket, read_list, remove_others, write_list
from infra.admin.backup.tables import estimated_rows
from infra.admin.database import transaction
from infra.admin.progress_bar import ProgressBar
from infra.admin.stack import Bucket
from shared import __version__
from shared.clock import format_utc
from shared.errors import ConfigurationError, VedetteError

COPY: Final = "copy"
MANIFEST: Final = "manifest"
NONE: Final = "none"
_LIST: Final = "objects.jsonl.gz"
_PARTIAL_LIST: Final = "listed.jsonl.gz"
_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions:
    """What is copied, and where to."""

    folder: Path
    mode: str
    bucket: Bucket | None
    master_key: Path | None
    """A file of master keys to include; None for none."""
    stream: TextIO
    """For progress bars."""


@dataclass(slots=True)
class BackupResult:
    """What was done."""

    manifest: Manifest
    copied: int
    """Objects that were not in the folder yet."""
    vanished: int
    """Objects that were deleted meanwhile."""


def create_backup(url: str, options: BackupOptions) -> BackupResult:
    """Make or renew the backup in a folder. Until it is complete, the folder's manifest names the earlier one.

    Raises:
        ConfigurationError: the folder, the key file or the database is not usable.
        TransientError, PermanentError: the database or the bucket failed; the next run continues.
    """
    with locked_folder(options.folder):
        earlier = _earlier(options.folder)
        run = options.folder / f"{RUN_PREFIX}{uuid4().hex[:12]}"
        known = _known_objects(options.folder, earlier)
        _remove_runs(options.folder, keep=None if earlier is None else earlier.run)
        run.mkdir()
        with transaction(url) as connection:
            bar = ProgressBar("database", total=estimated_rows(connection), done=0, stream=options.stream)
        dump = dump_database(url, run, done=bar.advance)
        bar.finish()
        objects = _copy_objects(options, run, known)
        _copy_master_key(options)
        manifest = Manifest(
            backup_id=run.name.removeprefix(RUN_PREFIX),
            created_at=format_utc(dump.created_at),
            release=__version__,
            server_version=dump.server_version,
            revision=dump.revision,
            run=run.name,
            tables=dump.tables,
            sequences=dump.sequences,
            months=[format_utc(month) for month in dump.months],
            objects=objects.part,
            master_keys=dump.master_keys,
            has_master_key=options.master_key is not None,
        )
        manifest.write(options.folder)
        _remove_runs(options.folder, keep=run.name)
        if options.mode == COPY:
            remove_others(options.folder, read_list(run / _LIST))
        return BackupResult(manifest, objects.copied, objects.vanished)


@contextmanager
def locked_folder(folder: Path) -> Generator[None]:
    """Make the folder and lock it; raise ConfigurationError if another backup uses it, or it holds other files."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        foreign = [path.name for path in folder.iterdir() if not _is_ours(path)]
        if foreign:
            raise ConfigurationError(f"{folder} holds other files ({foreign[0]}): name an empty or a new folder")
        with (folder / _LOCK).open("w", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigurationError(f"another backup or restore uses {folder} now") from None
            yield
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be used: {error.strerror}") from error


@contextmanager
def folder_to_read(folder: Path) -> Generator[None]:
    """Lock the folder of a backup, unless it has no lock; raise ConfigurationError if it is being written."""
    try:
        lock = (folder / _LOCK).open("rb")
    except OSError:
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(f"a backup is being written to {folder} now") from None
        yield


def _is_ours(path: Path) -> bool:
    return path.name.startswith((RUN_PREFIX, NAME)) or path.name in {"objects", MASTER_KEY, _LOCK}


def _earlier(folder: Path) -> Manifest | None:
    """Return the backup that the folder holds; None without a usable one."""
    try:
        return read_manifest(folder)
    except VedetteError:
        return None


def _known_objects(folder: Path, earlier: Manifest | None) -> dict[str, StoredObject]:
    """Return the objects of the earlier backup by key."""
    if earlier is None or not earlier.objects.file:
        return {}
    try:
        return {entry.key: entry for entry in read_list(folder / earlier.run / earlier.objects.file)}
    except (OSError, EOFError, ValueError, TypeError):
        return {}  # damaged: all objects are copied again


def _remove_runs(folder: Path, *, keep: str | None) -> None:
    for path in folder.glob(f"{RUN_PREFIX}*"):
        if path.name != keep:
            shutil.rmtree(path, ignore_errors=True)


class _Objects(NamedTuple):
    part: ObjectsPart
    copied: int = 0
    vanished: int = 0


def _copy_objects(options: BackupOptions, run: Path, known: Mapping[str, StoredObject]) -> _Objects:
    if options.bucket is None or options.mode == NONE:
        return _Objects(ObjectsPart(mode=NONE))
    copied = vanished = 0
    listed = run / (_PARTIAL_LIST if options.mode == COPY else _LIST)
    counted, sha256 = write_list(listed, list_bucket(options.bucket))
    if options.mode == COPY:
        bar = ProgressBar("objects", total=counted.objects, done=0, stream=options.stream, unit="objects")
        copier = ObjectCopier(bucket=options.bucket, folder=options.folder, done=bar.advance)
        counted, sha256 = write_list(run / _LIST, copier.fetch(read_list(listed), known))
        bar.finish()
        copied, vanished = copier.copied, copier.vanished
        listed.unlink()
    part = ObjectsPart(
        mode=options.mode,
        bucket=options.bucket.name,
        file=_LIST,
        sha256=sha256,
        objects=counted.objects,
        size_bytes=counted.size_bytes,
    )
    return _Objects(part, copied, vanished)


def _copy_master_key(options: BackupOptions) -> None:
    """Put the key file into the backup, or remove that of an earlier one."""
    target = options.folder / MASTER_KEY
    if options.master_key is None:
        target.unlink(missing_ok=True)
        return
    FileMasterKeys(options.master_key).check()
    temporary = options.folder / f"{NAME}.key.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(options.master_key.read_bytes())
    temporary.replace(target)
