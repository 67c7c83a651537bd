"""Checks a running system: schema, partitions, rollups, pictures and the audit log agree with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from cloud_functions.aws import aws_error
from cloud_functions.db.audit.chain import verify_chain
from cloud_functions.db.connect import connect_to, database_error
from cloud_functions.db.migrate import current_revision, head_revision
from cloud_functions.db.partitions.partitions import list_partitions, partition_of
from cloud_functions.db.types import Connection
from infra.admin.backup.load import unfinished_restore
from infra.admin.backup.objects import list_bucket
from infra.admin.backup.tables import SETTINGS
from infra.admin.stack import Bucket
from shared.errors import VedetteError
from shared.storage_keys import snapshot_object_key

_EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
_PENDING_FOR: Final = timedelta(hours=2)
"""A picture may arrive later than its event."""
_SHOWN: Final = 5
_THREADS: Final = 8

_RECOUNT: Final = """
WITH counted AS (
    SELECT date_trunc('hour', "timestamp", 'UTC') AS hour, camera_id, event_type, site_id, count(*) AS events
    FROM events WHERE "timestamp" >= %(since)s GROUP BY 1, 2, 3, 4
), kept AS (
    SELECT hour, camera_id, event_type, site_id, events FROM event_counts WHERE hour >= %(since)s AND events <> 0
)
SELECT count(*), min(hour) FROM counted FULL JOIN kept USING (hour, camera_id, event_type, site_id)
WHERE counted.events IS DISTINCT FROM kept.events
"""
_SUMS: Final = """
WITH summed AS (
    SELECT {keys}, date_trunc('{coarse}', {fine}, 'UTC') AS at, sum(events) AS events
    FROM {table_fine} WHERE {fine} >= %(since)s GROUP BY {keys}, 2
), kept AS (SELECT {keys}, {coarse} AS at, events FROM {table_coarse} WHERE {coarse} >= %(since)s)
SELECT count(*), min(at) FROM summed FULL JOIN kept USING ({keys}, at)
WHERE COALESCE(summed.events, 0) <> COALESCE(kept.events, 0)
"""
_PLATES: Final = """
SELECT count(*), min(captured_at) FROM plate_events WHERE captured_at >= %(since)s AND NOT EXISTS (
    SELECT FROM events WHERE events.event_id = plate_events.event_id AND events."timestamp" = captured_at)
"""
_PICTURES: Final = """
SELECT device_id, snapshot_path FROM events
WHERE snapshot_path IS NOT NULL AND "timestamp" >= %(since)s AND "timestamp" < %(until)s
"""
_SNAPSHOTS: Final = """
SELECT NULL, storage_path FROM camera_snapshots
WHERE status = 'stored' AND storage_path IS NOT NULL AND created_at >= %(since)s AND created_at < %(until)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemOptions:
    """What is checked."""

    bucket: Bucket | None
    since: datetime | None
    """Events from here on are counted again; None: all."""
    pictures: int | None
    """How many pictures are looked for, chosen at random; None: all."""
    snapshot_days: int
    """After how many days the bucket deletes pictures; 0: never."""
    months_ahead: int


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    faults: list[str]
    detail: str = ""


def check_system(url: str, options: SystemOptions, *, now: datetime) -> Iterator[Check]:
    """Yield the result of each check. Raises TransientError or ConfigurationError if the database cannot be read."""
    yield Check("schema", list(_schema_faults(url)), current_revision(url) or "none")
    try:
        with connect_to(url, application_name="verify") as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute(SETTINGS)
            yield _partitions(connection, options, now)
            yield from _rollups(connection, options)
            audit = verify_chain(connection)
            yield Check("audit log", audit.faults, f"{audit.entries:,} entries")
            pictures = _pictures(connection, options, now)
    except psycopg.Error as error:
        raise database_error(error) from error
    if options.bucket is not None:
        yield _picture_check(options.bucket, pictures, is_sample=options.pictures is not None)


def _schema_faults(url: str) -> Iterator[str]:
    current, head = current_revision(url), head_revision()
    if current != head:
        yield f"the database is at revision {current or 'none'}, this release needs {head}: vedette-admin migrate up"
    backup = unfinished_restore(url)
    if backup is not None:
        yield f"the restore of backup {backup} was not finished: run vedette-admin restore again"


def _partitions(connection: Connection, options: SystemOptions, now: datetime) -> Check:
    there = {partition.name for partition in list_partitions(connection)}
    wanted, moment = [], now
    for _ in range(options.months_ahead + 1):
        partition = partition_of(moment)
        wanted.append(partition.name)
        moment = partition.end
    missing = [name for name in wanted if name not in there]
    faults = [f"the partition {name} is missing: the maintenance task partitions makes it" for name in missing]
    return Check("partitions", faults, f"{len(there)} months")


def _rollups(connection: Connection, options: SystemOptions) -> Iterator[Check]:
    since = {"since": _month_of(options.since)}
    queries: dict[str, tuple[str, str]] = {"event counts by hour": ("event_counts", _RECOUNT)}
    keys = {
        "event_counts": "camera_id, event_type, site_id",
        "event_label_counts": "kind, label, camera_id, event_type, site_id",
    }
    for table, columns in keys.items():
        for fine, coarse in (("hour", "day"), ("day", "month")):
            suffix = {"hour": "", "day": "_daily", "month": "_monthly"}
            names = {"fine": fine, "coarse": coarse, "keys": columns}
            tables = {"table_fine": table + suffix[fine], "table_coarse": table + suffix[coarse]}
            statement = _SUMS.format(**names, **tables).replace(", 2\n", f", date_trunc('{coarse}', {fine}, 'UTC')\n")
            queries[f"{tables['table_coarse']}"] = (tables["table_coarse"], statement)
    queries["plate reads"] = ("plate_events", _PLATES)
    for name, (table, statement) in queries.items():
        row = connection.execute(statement.encode(), since).fetchone()
        differing, first = row or (0, None)
        fault = f"{differing:,} rows of {table} differ from what they summarise, the first at {first}"
        yield Check(name, [fault] if differing else [])


def _month_of(since: datetime | None) -> datetime:
    """Return the beginning of the month, so that whole days and months are compared."""
    return _EARLIEST if since is None else partition_of(since).start


def _pictures(connection: Connection, options: SystemOptions, now: datetime) -> list[str]:
    since = options.since or _EARLIEST
    if options.snapshot_days:
        since = max(since, now - timedelta(days=options.snapshot_days - 1))
    values = {"since": since, "until": now - _PENDING_FOR, "limit": options.pictures}
    return [key for statement in (_PICTURES, _SNAPSHOTS) for key in _keys(connection, statement, values)]


def _keys(connection: Connection, statement: str, values: Mapping[str, Any]) -> Iterator[str]:
    sample = "" if values["limit"] is None else " ORDER BY random() LIMIT %(limit)s"
    for device_id, key in connection.execute((statement + sample).encode(), values):
        yield key if device_id is None else snapshot_object_key(device_id, key)


def _picture_check(bucket: Bucket, keys: list[str], *, is_sample: bool) -> Check:
    if is_sample:
        with ThreadPoolExecutor(_THREADS) as threads:
            missing = [key for key in threads.map(_missing(bucket), keys) if key]
    else:
        there = {entry.key for entry in list_bucket(bucket)}
        missing = [key for key in keys if key not in there]
    faults = [f"the picture {key} is missing in the bucket {bucket.name}" for key in missing[:_SHOWN]]
    if len(missing) > _SHOWN:
        faults.append(f"and {len(missing) - _SHOWN:,} more pictures")
    return Check("pictures", faults, f"{len(keys):,} looked for")


def _missing(bucket: Bucket) -> Callable[[str], str | None]:
    def find(key: str) -> str | None:
        try:
            bucket.client.head_object(Bucket=bucket.name, Key=key)
        except Exception as error:
            translated: VedetteError = aws_error(error, doing=f"looking for {key}")
            if str(translated).endswith((" 404", " NoSuchKey", " NotFound")):
                return key
            raise translated from error
        return None

    return find
