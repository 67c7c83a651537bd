"""Health probes: one for each service that the API depends on."""

from __future__ import annotations

import logging
from typing import Protocol

from cloud_functions.api.backends.database import ApiDatabase, Connection
from cloud_functions.api.backends.thread_pool import ThreadPool
from cloud_functions.aws import AwsClients, aws_error
from cloud_functions.snapshot_store import SnapshotStore
from shared.clock import Clock
from shared.errors import ConfigurationError

logger = logging.getLogger(__name__)

HEALTH_TIMEOUT_MS = 3000
"""Statement timeout of health checks in milliseconds. It is shorter than that of client queries."""
WRITE_CHECK_CACHE_S = 10.0
"""Time in seconds for which a successful write check is cached."""


class HealthProbe(Protocol):
    """Checks one service. If an ``essential`` probe fails, the API is unavailable."""

    name: str
    essential: bool

    async def check(self) -> dict[str, str]:
        """Return public details such as versions; raise an error if the service does not work."""
        ...


class DatabaseProbe:
    """Checks that PostgreSQL responds; returns its version and the schema version."""

    name = "database"
    essential = True

    def __init__(self, database: ApiDatabase) -> None:
        self._database = database

    async def check(self) -> dict[str, str]:
        return await self._database.run(_database_versions)


class WriteProbe:
    """Checks that PostgreSQL accepts writes: it is not read-only and its disk is not full.

    The check fills a temporary table, which needs a disk block and a WAL record and is dropped at the end of the
    transaction. A success is cached for ``WRITE_CHECK_CACHE_S`` seconds; a failure is not cached.
    """

    name = "writes"
    essential = True

    def __init__(self, database: ApiDatabase, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._valid_until_s = float("-inf")

    async def check(self) -> dict[str, str]:
        if self._clock.monotonic() < self._valid_until_s:
            return {}
        try:
            await self._database.run(_write)
        except ConfigurationError as error:
            logger.info("health check: database writes cannot be checked: %s", error)
        self._valid_until_s = self._clock.monotonic() + WRITE_CHECK_CACHE_S
        return {}


class BucketProbe:
    """Checks that the snapshot bucket can be reached."""

    name = "bucket"
    essential = False

    def __init__(self, *, store: SnapshotStore, thread_pool: ThreadPool) -> None:
        self._store = store
        self._thread_pool = thread_pool

    async def check(self) -> dict[str, str]:
        await self._thread_pool.run(self._store.check)
        return {}


class FanOutProbe:
    """Checks that the SNS topic for events exists; returns its number of subscriptions."""

    name = "fan_out"
    essential = False

    def __init__(self, *, topic_arn: str, aws: AwsClients, thread_pool: ThreadPool) -> None:
        self._topic_arn = topic_arn
        self._aws = aws
        self._thread_pool = thread_pool

    async def check(self) -> dict[str, str]:
        def count_subscriptions() -> str:
            try:
                attributes = self._aws.client("sns").get_topic_attributes(TopicArn=self._topic_arn)["Attributes"]
            except Exception as error:
                raise aws_error(error, doing="reading the attributes of the event topic") from error
            return str(attributes.get("SubscriptionsConfirmed", "0"))

        return {"subscriptions": await self._thread_pool.run(count_subscriptions)}


def _write(connection: Connection) -> None:
    connection.execute("CREATE TEMPORARY TABLE vedette_write_check (filler text) ON COMMIT DROP")
    connection.execute("INSERT INTO vedette_write_check VALUES ('written')")


def _database_versions(connection: Connection) -> dict[str, str]:
    row = connection.execute(
        "SELECT current_setting('server_version_num')::int / 10000, (SELECT version_num FROM alembic_version)"
    ).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM returns one row
    return {"postgresql": str(row[0]), "schema": str(row[1])}
