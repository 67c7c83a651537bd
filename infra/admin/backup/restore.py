"""Restores a backup into an empty database and bucket. Interrupted at any point, it is run again.

The order: check the backup; objects; the schema of the backup's revision; all rows in one transaction; the master keys;
the newest schema. Before the rows are committed the database counts as empty; after that, a mark in it says what is
left to do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final, TextIO

import psycopg

from cloud_functions.db.connect import connect_to, database_error
from cloud_functions.db.migrate import current_revision, downgrade, head_revision, require_no_foreign_tables, upgrade
from cloud_functions.plates.master_keys import FileMasterKeys, master_keys
from cloud_functions.privacy.wrapped_keys import list_wrapped_keys
from infra.admin.backup.check import list_faults, table_faults
from infra.admin.backup.create import COPY, folder_to_read
from infra.admin.backup.load import finish_restore, load_database, require_empty, unfinished_restore
from infra.admin.backup.manifest import MASTER_KEY, Manifest, read_manifest
from infra.admin.backup.objects import ObjectCopier, list_bucket, read_list
from infra.admin.progress_bar import ProgressBar
from infra.admin.stack import Bucket
from shared.errors import ConfigurationError, PermanentError, VedetteError

_FILE: Final = "file:"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """Where a backup is restored from and to."""

    folder: Path
    bucket: Bucket | None
    """None: without objects."""
    master_key: str | None
    """PLATE_MASTER_KEY of the new deployment."""
    stream: TextIO


@dataclass(slots=True)
class RestoreResult:
    """What was restored."""

    manifest: Manifest
    revision: str = ""
    objects: int = 0
    """Objects that were copied; others were there already."""
    notes: list[str] = field(default_factory=list[str])
    """What an operator must know."""


def restore_backup(url: str, options: RestoreOptions) -> RestoreResult:
    """Restore the backup in a folder.

    Raises:
        ConfigurationError: the database is in use, or of a newer release; there is no finished backup; a key file
            cannot be written.
        PermanentError: the backup is damaged.
        TransientError: database or bucket failed; run it again.
    """
    with folder_to_read(options.folder):
        manifest = read_manifest(options.folder)
        result = RestoreResult(manifest)
        if unfinished_restore(url) != manifest.backup_id:
            _check_target(url, manifest)
            _check_files(options, manifest)
            _restore_objects(options, manifest, result)
            _restore_rows(url, options, manifest, result)
        result.notes += _restore_master_key(options, manifest)
        upgrade(url)
        result.revision = current_revision(url) or ""
        result.notes += _unreadable_keys(url, options.master_key)
        finish_restore(url)
        return result


def _check_target(url: str, manifest: Manifest) -> None:
    if manifest.revision > head_revision():
        raise ConfigurationError(
            f"the backup has schema {manifest.revision}, and this release knows up to {head_revision()}: install"
            f" release {manifest.release} or newer"
        )
    if require_no_foreign_tables(url) is not None:
        require_empty(url)


def _check_files(options: RestoreOptions, manifest: Manifest) -> None:
    """Check the files of the tables and the list of objects before anything is changed.

    Copies of objects are checked one by one, when they are put back.
    """
    run = options.folder / manifest.run
    faults = chain.from_iterable(table_faults(run, table) for table in manifest.tables)
    if options.bucket is not None:
        faults = chain(faults, list_faults(run, manifest))
    for fault in faults:
        raise PermanentError(f"the backup is damaged, and nothing was changed: {fault}")


def _restore_objects(options: RestoreOptions, manifest: Manifest, result: RestoreResult) -> None:
    objects = manifest.objects
    if options.bucket is None or not objects.file:
        result.notes.append("Pictures were not restored: the bucket must have them already.")
        return
    path = options.folder / manifest.run / objects.file
    if objects.mode != COPY:
        result.notes += _missing_objects(options.bucket, path)
        return
    bar = ProgressBar("objects", total=objects.objects, done=0, stream=options.stream, unit="objects")
    copier = ObjectCopier(bucket=options.bucket, folder=options.folder, done=bar.advance)
    copier.put_back(read_list(path))
    bar.finish()
    result.objects = copier.copied
    result.notes += [f"DAMAGED and not restored: object {key}" for key in copier.damaged]


def _missing_objects(bucket: Bucket, path: Path) -> Iterator[str]:
    there = {entry.key for entry in list_bucket(bucket)}
    missing = sum(entry.key not in there for entry in read_list(path))
    if missing:
        yield (
            f"{missing:,} objects of the backup are not in the bucket {bucket.name}. The backup has only their list:"
            " bring them back from versions or a replica of the bucket."
        )


def _restore_rows(url: str, options: RestoreOptions, manifest: Manifest, result: RestoreResult) -> None:
    current = current_revision(url)
    if current is not None and current > manifest.revision:
        downgrade(url, manifest.revision)  # the database is empty
    else:
        upgrade(url, manifest.revision)
    total = sum(table.rows for table in manifest.tables)
    bar = ProgressBar("database", total=total, done=0, stream=options.stream)
    skipped = load_database(url, options.folder / manifest.run, manifest, now=datetime.now(UTC), done=bar.advance)
    bar.finish()
    result.notes += [
        f"The table {name} is not of Vedette, and was not restored: its rows are in the backup." for name in skipped
    ]


def _restore_master_key(options: RestoreOptions, manifest: Manifest) -> Iterator[str]:
    """Add the keys of the backup to the key file of the deployment, which keeps its own."""
    source = options.folder / MASTER_KEY
    if not manifest.has_master_key or options.master_key is None or not options.master_key.startswith(_FILE):
        return
    target = Path(options.master_key.removeprefix(_FILE))
    FileMasterKeys(source).check()
    lines = target.read_text(encoding="ascii").splitlines() if target.exists() else []
    added = [line for line in source.read_text(encoding="ascii").splitlines() if line and line not in lines]
    if not added:
        return
    temporary = target.with_name(f"{target.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write("\n".join([*lines, *added]) + "\n")
        file.flush()
        os.fsync(descriptor)
    temporary.replace(target)
    yield f"The master keys of the backup were added to {target}."


def _unreadable_keys(url: str, setting: str | None) -> Iterator[str]:
    """Say whether the deployment's master key opens what is sealed in the backup."""
    try:
        with connect_to(url, application_name="restore") as connection:
            stored = list_wrapped_keys(connection)
    except psycopg.Error as error:
        raise database_error(error) from error
    if not stored:
        return
    failed = 0
    for _, key, context in stored:
        try:
            master_keys(setting).unwrap(key, context)
        except VedetteError:
            failed += 1
    if failed:
        names = ", ".join(sorted({one.key.wrapped_by for one in stored}))
        yield (
            f"MASTER KEY MISSING: {failed} of {len(stored)} keys cannot be opened. The plates of protected sites,"
            " the passwords of cameras and the secrets of webhooks stay unreadable until PLATE_MASTER_KEY has the"
            f" master key {names}."
        )
