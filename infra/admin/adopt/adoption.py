"""One run of ``vedette-admin adopt``: copy each table from where the previous run ended, then compare the counts.

After ``kill -9`` the next run repeats the batch that was under way. Its events have the same ids, so nothing is stored
twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

from cloud_functions.db.connect import Database
from cloud_functions.ingest.ingest import Ingest
from cloud_functions.ingest.sources.messages import Invocation, Message, Rejection
from infra.admin.adopt.mapped_row import MappedRow, Places, camera_names
from infra.admin.adopt.old_database import EVENTS, PLATE_EVENTS, OldDatabase, OldRow, OldTable
from infra.admin.adopt.old_events import map_event
from infra.admin.adopt.old_plates import map_plate
from infra.admin.adopt.pictures import PictureCopier
from infra.admin.adopt.record import (
    Progress,
    complete,
    progress_of,
    refusals,
    reserve_ids,
    save_progress,
    stored,
)
from infra.admin.progress_bar import ProgressBar
from shared.clock import format_utc
from shared.errors import ContractError, TransientError

BATCH: Final = 500
_ATTEMPTS: Final = 5
_MAP: Final[Mapping[str, Callable[[OldRow, Places], MappedRow]]] = {
    EVENTS.name: map_event,
    PLATE_EVENTS.name: map_plate,
}


class RecordedRejections:
    """Takes the place of the dead letters: keeps the reason of each rejected message."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def send(self, rejections: Sequence[Rejection]) -> set[str]:
        self.reasons |= {one.message_id: f"{one.reason}: {one.detail}" for one in rejections}
        return set()


@dataclass(frozen=True, slots=True)
class TableResult:
    """The counts of one table after a run."""

    name: str
    old_rows: int
    stored: int
    refused: Mapping[str, str]
    """Reasons by the key of the row."""
    lost: Sequence[str]
    """Keys of rows that are neither stored nor refused."""
    other_ids: int
    """Stored events whose old ``id`` another event had, so they have a new one."""

    @property
    def agrees(self) -> bool:
        return not self.lost and self.old_rows == self.stored + len(self.refused)


@dataclass(slots=True, kw_only=True)
class Adoption:
    """The collaborators of a run."""

    old: OldDatabase
    database: Database
    ingest: Ingest
    rejections: RecordedRejections
    pictures: PictureCopier | None
    site_id: str
    device_id: str
    stream: TextIO
    again: bool = False
    """Begin with the first row, also if an earlier run has copied it."""
    renamed_cameras: dict[str, str] = field(default_factory=dict[str, str])
    sleep: Callable[[float], None] = time.sleep

    def run(self) -> list[TableResult]:
        """Copy every table, and compare. Raises TransientError if one of the databases fails; run it again then."""
        tables = self.old.tables()
        return [self._adopt(table, tables[table.name]) for table in (EVENTS, PLATE_EVENTS) if table.name in tables]

    def _adopt(self, table: OldTable, columns: Sequence[str]) -> TableResult:
        names = camera_names(self.old.camera_ids(table))
        self.renamed_cameras |= names
        places = Places(site_id=self.site_id, device_id=self.device_id, cameras=names)
        with self.database.transaction() as connection:
            if table is EVENTS:
                reserve_ids(connection, self.old.highest_id())
            progress = progress_of(connection, self.old.name, table.name)
        if self.again or (self.pictures is not None and not progress.with_pictures):
            progress = Progress()
        self._copy(table, columns, places, progress)
        return self._compare(table, columns, places)

    def _copy(self, table: OldTable, columns: Sequence[str], places: Places, progress: Progress) -> None:
        total = self.old.count(table)
        done = 0 if progress.position is None else total - self.old.count(table, after=progress.position)
        bar = ProgressBar(f"copying {table.name}", total=total, done=done, stream=self.stream)
        for rows in self.old.rows(table, columns, after=progress.position, batch=BATCH):
            self._copy_batch(table, rows, places)
            bar.advance(len(rows))
        bar.finish()

    def _copy_batch(self, table: OldTable, rows: Sequence[OldRow], places: Places) -> None:
        mapped, refused = _mapped(table, rows, places)
        snapshots = self._copy_pictures(mapped.values())
        refused |= self._store(mapped, snapshots)
        taken = {key: row for key, row in mapped.items() if key not in refused}
        with self.database.transaction() as connection:
            complete(connection, list(taken.values()), snapshots)
            progress = Progress(table.position(rows[-1]), self.pictures is not None)
            save_progress(connection, (self.old.name, table.name), progress, refused=refused, taken=list(taken))

    def _copy_pictures(self, rows: Iterable[MappedRow]) -> dict[str, dict[str, Any]]:
        if self.pictures is None:
            return {}
        found = {row.event_id: self.pictures.snapshot(row) for row in rows}
        return {event_id: snapshot for event_id, snapshot in found.items() if snapshot is not None}

    def _store(self, rows: Mapping[str, MappedRow], snapshots: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Send rows to ingest until it has taken or rejected each; return the reasons of the rejected ones."""
        messages = [_message(key, row, snapshots.get(row.event_id)) for key, row in rows.items()]
        for attempt in range(_ATTEMPTS):
            self.rejections.reasons.clear()
            if not self.ingest.process(Invocation(messages, [], partial=True)).failed:
                return dict(self.rejections.reasons)
            self.sleep(2.0**attempt)
        raise TransientError("the database does not store events now; run the command again, and it continues")

    def _compare(self, table: OldTable, columns: Sequence[str], places: Places) -> TableResult:
        """Look for every row of the old table in our database."""
        bar = ProgressBar(f"checking {table.name}", total=self.old.count(table), done=0, stream=self.stream)
        with self.database.transaction() as connection:
            refused = refusals(connection, self.old.name, table.name)
        old_rows = found = other_ids = 0
        lost: list[str] = []
        seen_refused: dict[str, str] = {}
        for rows in self.old.rows(table, columns, after=None, batch=BATCH * 4):
            old_rows += len(rows)
            seen_refused |= {key: refused[key] for row in rows if (key := _key(table, row)) in refused}
            mapped, _ = _mapped(table, [row for row in rows if _key(table, row) not in refused], places)
            there = self._stored(mapped.values())
            found += sum(row.event_id in there for row in mapped.values())
            other_ids += sum(
                row.number is not None and there.get(row.event_id) not in {None, row.number} for row in mapped.values()
            )
            lost += [key for row in rows if (key := _key(table, row)) not in refused and key not in mapped]
            lost += [key for key, row in mapped.items() if row.event_id not in there]
            bar.advance(len(rows))
        bar.finish()
        return TableResult(table.name, old_rows, found, seen_refused, lost, other_ids)

    def _stored(self, rows: Iterable[MappedRow]) -> dict[str, int]:
        with self.database.transaction() as connection:
            return stored(connection, [(row.event_id, format_utc(row.timestamp)) for row in rows])


def _mapped(table: OldTable, rows: Sequence[OldRow], places: Places) -> tuple[dict[str, MappedRow], dict[str, str]]:
    """Return the rows that can be sent to ingest, and the reasons of the others, by the key of the row."""
    mapped: dict[str, MappedRow] = {}
    refused: dict[str, str] = {}
    for row in rows:
        key = _key(table, row)
        try:
            mapped[key] = _MAP[table.name](row, places)
        except ContractError as error:
            refused[key] = f"{error.reason}: {error}"
    return mapped, refused


def _key(table: OldTable, row: OldRow) -> str:
    return " ".join(table.position(row))


def _message(key: str, row: MappedRow, snapshot: Mapping[str, Any] | None) -> Message:
    payload = json.dumps({**row.wire, "snapshot": snapshot}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Message(key, payload.decode("utf-8", "surrogatepass"), None, payload, time.time_ns() // 1_000_000)
