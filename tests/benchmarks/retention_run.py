"""``python -m tests.benchmarks.retention_run DATABASE BUCKET``: runs retention until nothing is left to delete.

The bucket is a table ``objects`` of another database: millions of objects, whose deletions survive a killed process, as
in S3. Prints a line before it begins, so that its caller knows when to kill it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import psycopg

from cloud_functions.db.connect import Database, connector
from cloud_functions.maintenance.handler import Maintenance
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from cloud_functions.object_storage.bucket import ObjectInfo
from cloud_functions.observability import NoMetrics
from cloud_functions.settings import DatabaseSettings, GapSettings, MaintenanceSettings
from cloud_functions.snapshot_store import StoredImage
from shared.clock import SystemClock
from shared.errors import TransientError

_LEFT = """
SELECT EXISTS (SELECT FROM released_pictures) OR EXISTS (SELECT FROM expired_months)
    OR EXISTS (SELECT FROM expired_pictures WHERE retry_until IS NULL)
"""


class TableStore:
    """A bucket of snapshots whose objects are rows."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def delete(self, keys: Sequence[str]) -> None:
        self._connection.execute("DELETE FROM objects WHERE key = ANY (%s)", [list(keys)])

    def exists(self, key: str) -> bool:
        return self._connection.execute("SELECT FROM objects WHERE key = %s", [key]).fetchone() is not None

    def keys(self, prefix: str) -> Iterator[str]:
        rows = self._connection.execute("SELECT key FROM objects WHERE key ^@ %s ORDER BY key", [prefix])
        return iter([key for (key,) in rows])

    def folders(self, prefix: str) -> Iterator[str]:
        depth = prefix.count("/")
        return iter(sorted({"/".join(key.split("/")[: depth + 1]) + "/" for key in self.keys(prefix)}))

    def read(self, key: str, *, limit_bytes: int) -> StoredImage | None:
        raise NotImplementedError

    def signed_url(self, key: str, *, filename: str, content_type: str, expires_s: int) -> str:
        raise NotImplementedError

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        raise NotImplementedError

    def check(self) -> None:
        self._connection.execute("SELECT 1")


class NoCommands:
    """Publishes nothing: retention sends no commands."""

    def publish(self, topic: str, payload: bytes) -> None:
        raise NotImplementedError


def main() -> int:
    url, bucket = sys.argv[1:]
    context = MaintenanceContext(
        database=Database(connect=connector(DatabaseSettings(url=url))),
        commands=NoCommands(),
        settings=MaintenanceSettings(),
        gaps=GapSettings(),
        clock=SystemClock(),
        snapshots=TableStore(bucket),
    )
    maintenance = Maintenance(context=context, metrics=NoMetrics())
    print("begins", flush=True)
    while True:
        try:
            maintenance.handle({"task": "retention"})
        except TransientError as error:
            print(error, file=sys.stderr)
            continue
        with context.database.transaction() as connection:
            if connection.execute(_LEFT).fetchone() == (False,):
                return 0


if __name__ == "__main__":
    sys.exit(main())
