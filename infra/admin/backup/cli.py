"""The commands ``backup``, ``restore`` and ``verify``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cloud_functions.settings import Environment
from infra.admin.audit import record_command
from infra.admin.backup.check import backup_faults
from infra.admin.backup.create import COPY, MANIFEST, NONE, BackupOptions, create_backup
from infra.admin.backup.manifest import Manifest, is_unfinished, read_manifest
from infra.admin.backup.restore import RestoreOptions, restore_backup
from infra.admin.backup.system import SystemOptions, check_system
from infra.admin.database import transaction
from infra.admin.progress_bar import ProgressBar
from infra.admin.stack import Bucket, master_key_setting, open_bucket
from shared.errors import ConfigurationError, PermanentError

Options = argparse.Namespace
_DEFAULT_DAYS: Final = 35
_DEFAULT_PICTURES: Final = 1000
_FILE: Final = "file:"


def add_commands(commands: Any) -> None:
    """Add ``backup``, ``restore`` and ``verify`` to the commands of the parser."""
    backup = _add(commands, "backup", _backup, "copy database and pictures into a folder; again: only what is new")
    backup.add_argument("folder", type=Path, metavar="DIR", help="an empty folder, or one with an earlier backup")
    backup.add_argument(
        "--objects",
        choices=[COPY, MANIFEST, NONE],
        default=COPY,
        help="copy the pictures, list them only (the bucket keeps its own versions), or leave them out (default: copy)",
    )
    backup.add_argument(
        "--with-master-key",
        action="store_true",
        help="include the key file, which opens all that is sealed",
    )
    restore = _add(commands, "restore", _restore, "restore a backup into an empty database and its bucket")
    restore.add_argument("folder", type=Path, metavar="DIR", help="folder of the backup")
    restore.add_argument("--no-objects", action="store_true", help="restore the database only")
    verify = _add(commands, "verify", _verify, "check a backup, or without DIR the running system; status 1: faults")
    verify.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="folder of a backup")
    verify.add_argument("--all", action="store_true", help="the system: count all events, look for all pictures")
    verify.add_argument(
        "--days", type=int, default=_DEFAULT_DAYS, metavar="N", help="count events of N days (default: %(default)s)"
    )
    verify.add_argument(
        "--pictures",
        type=int,
        default=_DEFAULT_PICTURES,
        metavar="N",
        help="look for N of them (default: %(default)s)",
    )
    verify.set_defaults(needs_database=False)


def _add(commands: Any, name: str, run: Callable[[Options, str], None], text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--state", type=Path, metavar="DIR", help="state folder of a running one-machine stack")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, needs_database=True)
    return parser


def _backup(options: Options, url: str) -> None:
    os.umask(0o077)
    result = create_backup(
        url,
        BackupOptions(
            folder=options.folder,
            mode=options.objects,
            bucket=None if options.objects == NONE else _bucket(options, "backup (without --objects none)"),
            master_key=_key_file(options) if options.with_master_key else None,
            stream=sys.stderr,
        ),
    )
    manifest = result.manifest
    _record(url, "backup", manifest)
    if options.json:
        print(json.dumps(_described(manifest) | {"copied": result.copied, "vanished": result.vanished}))
        return
    for line in _summary(manifest):
        print(line)
    if manifest.objects.mode == COPY:
        print(f"{result.copied:,} pictures were new; {result.vanished:,} were deleted while they were copied")
    _warn_of_master_key(manifest)


def _restore(options: Options, url: str) -> None:
    os.umask(0o077)
    result = restore_backup(
        url,
        RestoreOptions(
            folder=options.folder,
            bucket=None if options.no_objects else _bucket_of(options, read_manifest(options.folder)),
            master_key=master_key_setting(_variables(options), state=options.state),
            stream=sys.stderr,
        ),
    )
    _record(url, "restore", result.manifest)
    if options.json:
        described = {"objects_copied": result.objects, "revision": result.revision, "notes": result.notes}
        print(json.dumps(_described(result.manifest) | described))
    else:
        for line in _summary(result.manifest):
            print(line)
        print(f"restored and verified; the schema is {result.revision}; {result.objects:,} pictures were copied")
        for note in result.notes:
            print(note)
        print("Users, passwords and API keys are those of the backup. Restart what runs on this database.")
    if any(note.startswith("DAMAGED") for note in result.notes):
        raise PermanentError("some pictures were not restored")


def _verify(options: Options, url: str) -> None:
    if options.folder is not None:
        _verify_backup(options)
        return
    if not url:
        raise ConfigurationError("name the folder of a backup, or the system: DATABASE_URL or --state DIR")
    env = Environment(_variables(options))
    now = datetime.now(UTC)
    if options.days < 1 or options.pictures < 0:
        raise ConfigurationError("--days must be at least 1, and --pictures at least 0")
    chosen = SystemOptions(
        bucket=_bucket(options, "verify") if options.state or _variables(options).get("SNAPSHOT_BUCKET") else None,
        since=None if options.all else now - timedelta(days=options.days),
        pictures=None if options.all else options.pictures,
        snapshot_days=env.whole("SNAPSHOT_RETENTION_DAYS", 90, least=0, most=36_500),
        months_ahead=1,
    )
    checks = []
    for check in check_system(url, chosen, now=now):
        checks.append(check)
        if not options.json:
            print(f"{'FAULT' if check.faults else 'ok':<6}{check.name}{f': {check.detail}' if check.detail else ''}")
            for fault in check.faults:
                print(f"      {fault}")
    if chosen.bucket is None and not options.json:
        print("      pictures were not looked for: SNAPSHOT_BUCKET is not set")
    faults = [fault for check in checks for fault in check.faults]
    if options.json:
        print(json.dumps({"checks": {check.name: check.faults for check in checks}, "faults": len(faults)}))
    if faults:
        raise PermanentError(f"{len(faults)} faults")


def _verify_backup(options: Options) -> None:
    manifest = read_manifest(options.folder)
    total = sum(table.rows for table in manifest.tables) + manifest.objects.objects
    bar = ProgressBar("verifying", total=total, done=0, stream=sys.stderr, unit="rows and objects")
    faults = list(backup_faults(options.folder, done=bar.advance))
    bar.finish()
    if options.json:
        print(json.dumps(_described(manifest) | {"faults": faults}))
    else:
        for line in _summary(manifest):
            print(line)
        for fault in faults:
            print(f"FAULT {fault}")
        if is_unfinished(options.folder):
            print("A newer backup in this folder was not finished; the one above is complete.")
        _warn_of_master_key(manifest)
    if faults:
        raise PermanentError(f"the backup has {len(faults)} faults: do not rely on it")
    if not options.json:
        print("every file is there and has its checksum")


def _record(url: str, action: str, manifest: Manifest) -> None:
    """Add an entry to the audit log, if the schema has one: a backup may be made before an upgrade."""
    try:
        with transaction(url) as connection:
            record_command(connection, action, target=f"backup={manifest.backup_id}", objects=manifest.objects.mode)
    except ConfigurationError as error:
        sys.stderr.write(f"vedette-admin: this is not in the audit log: {error}\n")


def _summary(manifest: Manifest) -> list[str]:
    objects = manifest.objects
    rows = sum(table.rows for table in manifest.tables)
    what = {COPY: "copied", MANIFEST: "only listed: the bucket must keep them", NONE: "left out"}[objects.mode]
    return [
        f"backup {manifest.backup_id} of {manifest.created_at}, release {manifest.release}, schema {manifest.revision}",
        f"database: {rows:,} rows in {len(manifest.tables)} tables",
        f"pictures: {objects.objects:,}, {objects.size_bytes / 1e6:,.1f} MB, {what}",
    ]


def _described(manifest: Manifest) -> dict[str, Any]:
    return {
        "backup_id": manifest.backup_id,
        "created_at": manifest.created_at,
        "revision": manifest.revision,
        "rows": {table.table: table.rows for table in manifest.tables},
        "objects": manifest.objects.objects,
        "objects_mode": manifest.objects.mode,
        "master_keys": manifest.master_keys,
        "has_master_key": manifest.has_master_key,
    }


def _warn_of_master_key(manifest: Manifest) -> None:
    if manifest.has_master_key:
        print("WITH the master key: this folder reveals protected plates and camera passwords.")
    elif manifest.master_keys:
        print(
            f"WITHOUT the master key ({', '.join(manifest.master_keys)}): keep a copy of it elsewhere. Without it, the"
            " plates of protected sites, the passwords of cameras and the secrets of webhooks can never be read again."
        )


def _bucket(options: Options, needed_by: str) -> Bucket:
    return open_bucket(_variables(options), state=options.state, needed_by=needed_by)


def _bucket_of(options: Options, manifest: Manifest) -> Bucket | None:
    return None if manifest.objects.mode == NONE else _bucket(options, "restore (without --no-objects)")


def _key_file(options: Options) -> Path:
    setting = master_key_setting(_variables(options), state=options.state) or ""
    if not setting.startswith(_FILE):
        raise ConfigurationError(
            "--with-master-key needs a key in a file (PLATE_MASTER_KEY=file:…); a key of KMS cannot be copied"
        )
    return Path(setting.removeprefix(_FILE))


def _variables(options: Options) -> Mapping[str, str]:
    return os.environ if options.variables is None else options.variables
