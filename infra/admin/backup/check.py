"""Checks a backup: everything that its manifest names is there, and has its checksum."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from infra.admin.backup.manifest import MASTER_KEY, OBJECTS, Manifest, TableFile, read_manifest, sha256_of
from infra.admin.backup.objects import StoredObject, is_intact, read_list
from infra.admin.backup.tables import RowDigest

_CHUNK_BYTES: Final = 1024 * 1024


def backup_faults(folder: Path, *, done: Callable[[int], None] = lambda _: None) -> Iterator[str]:
    """Yield what is wrong with the backup in a folder; ``done`` is called with numbers of rows and objects.

    Raises:
        ConfigurationError, PermanentError: there is no finished, readable backup.
    """
    manifest = read_manifest(folder)
    for table in manifest.tables:
        yield from table_faults(folder / manifest.run, table)
        done(table.rows)
    yield from object_faults(folder, manifest, done=done)
    if manifest.has_master_key and not (folder / MASTER_KEY).is_file():
        yield f"{MASTER_KEY} is missing"


def table_faults(run: Path, table: TableFile) -> Iterator[str]:
    """Yield what is wrong with the file of a table."""
    path = run / table.file
    digest = RowDigest()
    try:
        if sha256_of(path) != table.sha256:
            yield f"{path}: its checksum is wrong"
            return
        with gzip.open(path) as packed:
            while chunk := packed.read(_CHUNK_BYTES):
                digest.add(chunk)
    except (OSError, EOFError) as error:
        yield f"{path} cannot be read: {error}"
        return
    if (digest.rows, digest.hexdigest()) != (table.rows, table.row_digest):
        yield f"{path}: holds {digest.rows:,} rows, and not the {table.rows:,} of the manifest"


def list_faults(
    run: Path, manifest: Manifest, *, fault_of: Callable[[StoredObject], str | None] = lambda _: None
) -> Iterator[str]:
    """Yield what is wrong with the list of objects, and what ``fault_of`` finds wrong with an object of it."""
    if not manifest.objects.file:
        return
    path = run / manifest.objects.file
    objects = 0
    try:
        if sha256_of(path) != manifest.objects.sha256:
            yield f"{path}: its checksum is wrong"
            return
        for entry in read_list(path):
            objects += 1
            if fault := fault_of(entry):
                yield fault
    except (OSError, EOFError, ValueError, TypeError) as error:
        yield f"{path} cannot be read: {error}"
        return
    if objects != manifest.objects.objects:
        yield f"{path}: holds {objects:,} objects, and not the {manifest.objects.objects:,} of the manifest"


def object_faults(folder: Path, manifest: Manifest, *, done: Callable[[int], None]) -> Iterator[str]:
    """Yield what is wrong with the list of objects and with the copies."""

    def fault_of(entry: StoredObject) -> str | None:
        is_damaged = entry.sha256 and not is_intact(folder / OBJECTS / entry.path, entry)
        done(1)
        return f"object {entry.key}: its copy is missing or damaged" if is_damaged else None

    return list_faults(folder / manifest.run, manifest, fault_of=fault_of)
