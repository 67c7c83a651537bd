"""The command: wires a run and prints its results."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_functions.db.connect import Database
from cloud_functions.db.migrate import current_revision, head_revision
from cloud_functions.ingest.handler import build_ingest
from cloud_functions.ingest.publish import NoPublisher
from cloud_functions.settings import DatabaseSettings
from infra.admin.adopt.adoption import Adoption, RecordedRejections, TableResult
from infra.admin.adopt.old_database import OldDatabase, open_old_database
from infra.admin.adopt.pictures import PictureCopier, open_bucket
from shared.errors import ConfigurationError, PermanentError
from shared.ids import require_segment

SHOWN: Final = 20
"""Refused rows that are printed; the table ``adoption_refusals`` has all of them."""
_MASTER_KEY: Final = "master.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptOptions:
    """The choices of the user."""

    old_url: str
    snapshots: Path | None
    site_id: str
    device_id: str
    again: bool
    state: Path | None


class NoCommands:
    """Adopted events have no sequence numbers, so nothing is ever asked of a device."""

    def publish(self, topic: str, payload: bytes) -> None:
        raise PermanentError(f"{len(payload)} bytes for {topic}: an adoption sends no commands")


def adopt(options: AdoptOptions, url: str, variables: Mapping[str, str]) -> None:
    """Copy the tables of the old database into the one at ``url``; print what was copied.

    Raises:
        ConfigurationError: an option, the old database or our schema is not usable.
        TransientError: a database or the bucket is not available now; the next run continues.
        PermanentError: the counts do not agree.
    """
    for name, value in (("--site", options.site_id), ("--device", options.device_id)):
        require_segment(value, name=name)
    if current_revision(url) != head_revision():
        raise ConfigurationError("the database is not migrated to this release: vedette-admin migrate up")
    pictures = None
    if options.snapshots is not None:
        pictures = PictureCopier(folder=options.snapshots, bucket=open_bucket(variables, state=options.state))
    rejections = RecordedRejections()
    database = Database.from_settings(DatabaseSettings(url=url, statement_timeout_ms=0))
    ingest = build_ingest(
        _ingest_variables(options, variables) | {"DATABASE_URL": url},
        database=database,
        publisher=NoPublisher(),
        dead_letters=rejections,
        commands=NoCommands(),
    )
    try:
        with open_old_database(options.old_url) as old:
            adoption = Adoption(
                old=old,
                database=database,
                ingest=ingest,
                rejections=rejections,
                pictures=pictures,
                site_id=options.site_id,
                device_id=options.device_id,
                stream=sys.stderr,
                again=options.again,
            )
            results = adoption.run()
            for line in _report(adoption, results, old):
                sys.stdout.write(f"{line}\n")
    finally:
        database.close()
    if not all(result.agrees for result in results):
        raise PermanentError("the counts do not agree: run the command again with --again")


def _ingest_variables(options: AdoptOptions, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of ingest: a stack seals protected plates with the key in its state folder."""
    given = {name: value for name, value in variables.items() if name in {"PLATE_MASTER_KEY", "MAX_LABELS_PER_SITE"}}
    key = None if options.state is None else options.state / _MASTER_KEY
    return given if key is None or not key.is_file() else {"PLATE_MASTER_KEY": f"file:{key.absolute()}"} | given


def _report(adoption: Adoption, results: Sequence[TableResult], old: OldDatabase) -> Iterator[str]:
    for result in results:
        verdict = "agrees" if result.agrees else f"DOES NOT AGREE ({len(result.lost):,} missing)"
        yield (
            f"{result.name}: {result.old_rows:,} rows = {result.stored:,} stored + {len(result.refused):,} refused;"
            f" {verdict}"
        )
        if result.other_ids:
            yield f"{result.name}: {result.other_ids:,} have a new id, because another event has theirs"
        for key, reason in list(result.refused.items())[:SHOWN]:
            yield f"  refused {result.name} {key}: {reason}"
        if len(result.refused) > SHOWN:
            yield f"  and {len(result.refused) - SHOWN:,} more, in the table adoption_refusals"
        yield from (f"  missing {result.name} {key}" for key in result.lost[:SHOWN])
    if adoption.pictures is not None:
        counts = adoption.pictures.counts
        yield f"pictures: {counts.copied:,} copied, {counts.missing:,} not found or no image (their events are stored)"
    for old_id, new_id in adoption.renamed_cameras.items():
        yield f"camera {old_id!r} is now {new_id}"
    for name, rows in old.other_tables().items():
        yield f"not copied: table {name}, {rows:,} rows"
