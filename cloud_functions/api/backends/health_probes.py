"""What the health answer is made of: one probe for each thing the API leans on."""

from __future__ import annotations

import logging
from typing import Protocol

from cloud_functions.api.backends.database import ApiDatabase, Connection
from cloud_functions.api.backends.thread_pool import Workers
from cloud_functions.aws import AwsClients, aws_error
from cloud_functions.snapshot_store import SnapshotStore
from shared.clock import Clock
from shared.errors import ConfigurationError

logger = logging.getLogger(__name__)

HEALTH_TIMEOUT_MS = 3000
"""Longest statement of a health check; a query of a client may take much longer."""
WRITE_CHECKED_FOR_S = 10.0


class HealthProbe(Protocol):
    """One thing that may be well or not."""

    name: str
    essential: bool

    async def check(self) -> dict[str, str]:
        """Return versions and the like, for everybody to see; raise where it is not well."""
        ...


class DatabaseProbe:
    """PostgreSQL answers, and which schema it has."""

    name = "database"
    essential = True

    def __init__(self, database: ApiDatabase) -> None:
        self._database = database

    async def check(self) -> dict[str, str]:
        return await self._database.run(_database_versions)


class WriteProbe:
    """PostgreSQL takes what is written: it is not read-only, and its disk is not full.

    A table of the transaction's own is made and filled, which takes a block on the disk and an entry in the log, and is
    gone afterwards. A success is remembered for ``WRITE_CHECKED_FOR_S``; a failure is not.
    """

    name = "writes"
    essential = True

    def __init__(self, database: ApiDatabase, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._good_until_s = float("-inf")

    async def check(self) -> dict[str, str]:
        if self._clock.monotonic() < self._good_until_s:
            return {}
        try:
            await self._database.run(_write)
        except ConfigurationError as error:
            logger.info("health: whether the database takes writes cannot be checked: %s", error)
        self._good_until_s = self._clock.monotonic() + WRITE_CHECKED_FOR_S
        return {}


class BucketProbe:
    """The bucket of pictures can be reached."""

    name = "bucket"
    essential = False

    def __init__(self, *, store: SnapshotStore, workers: Workers) -> None:
        self._store = store
        self._workers = workers

    async def check(self) -> dict[str, str]:
        await self._workers.run(self._store.check)
        return {}


class FanOutProbe:
    """The hub topic that events are published to is there."""

    name = "fan_out"
    essential = False

    def __init__(self, *, topic_arn: str, aws: AwsClients, workers: Workers) -> None:
        self._topic_arn = topic_arn
        self._aws = aws
        self._workers = workers

    async def check(self) -> dict[str, str]:
        def ask() -> str:
            try:
                attributes = self._aws.client("sns").get_topic_attributes(TopicArn=self._topic_arn)["Attributes"]
            except Exception as error:
                raise aws_error(error, doing="asking for the hub topic") from error
            return str(attributes.get("SubscriptionsConfirmed", "0"))

        return {"subscriptions": await self._workers.run(ask)}


def _write(connection: Connection) -> None:
    connection.execute("CREATE TEMPORARY TABLE vedette_write_check (filler text) ON COMMIT DROP")
    connection.execute("INSERT INTO vedette_write_check VALUES ('written')")


def _database_versions(connection: Connection) -> dict[str, str]:
    row = connection.execute(
        "SELECT current_setting('server_version_num')::int / 10000, (SELECT version_num FROM alembic_version)"
    ).fetchone()
    assert row is not None  # noqa: S101 - a select without FROM has one row
    return {"postgresql": str(row[0]), "schema": str(row[1])}
