"""What each function is told through its environment: frozen, checked once, with errors that name the variable.

Nothing else in ``cloud_functions`` reads the environment. Plain dataclasses rather than a settings library: this is
imported on every cold start.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from shared.errors import ConfigurationError

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class Environment:
    """Reads typed values from environment variables; an empty variable counts as not set."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables

    def optional(self, name: str) -> str | None:
        """Return the text, or None where it is not set."""
        return self._variables.get(name, "").strip() or None

    def text(self, name: str, default: str) -> str:
        """Return the text, or ``default`` where it is not set."""
        return self.optional(name) or default

    def required(self, name: str, *, purpose: str) -> str:
        """Return the text, or raise ConfigurationError that says what the variable is for."""
        value = self.optional(name)
        if value is None:
            raise ConfigurationError(f"{name} is not set: {purpose}")
        return value

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """Return a number between ``least`` and ``most``, both included."""
        text = self.optional(name)
        if text is None:
            return default
        try:
            value = float(text) if text.isascii() else float("nan")
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise ConfigurationError(f"{name} must be a number from {least:g} to {most:g}")
        return value

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """Return a whole number between ``least`` and ``most``, both included."""
        value = self.number(name, default, least=least, most=most)
        if value != int(value):
            raise ConfigurationError(f"{name} must be a whole number from {least} to {most}")
        return int(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a switch written as 1/0, true/false, yes/no or on/off."""
        text = self.optional(name)
        if text is None:
            return default
        if text.lower() not in _TRUE | _FALSE:
            raise ConfigurationError(f"{name} must be true or false")
        return text.lower() in _TRUE


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseSettings:
    """Where the database is and how to prove who we are: a URL, a secret, or an IAM token. Never printed: no repr."""

    url: str | None = None
    secret_arn: str | None = None
    iam_auth: bool = False
    host: str | None = None
    port: int = 5432
    name: str | None = None
    user: str | None = None
    ssl_mode: str = "require"
    connect_timeout_s: int = 5
    statement_timeout_ms: int = 25_000
    idle_in_transaction_timeout_ms: int = 20_000
    """How long a transaction may wait for its client before the server ends it: what a frozen client blocks for."""
    keepalive_idle_s: int = 30
    """How long a silent connection waits before TCP asks whether the server is there; 0: never."""
    tcp_user_timeout_ms: int = 30_000
    """How long sent data may stay unacknowledged before the connection counts as broken; 0: the system's own."""
    connection_max_age_s: int = 1800
    """How old a connection may be when a transaction begins; older ones are replaced. 0: any age."""

    @classmethod
    def from_environment(cls, environment: Environment | None = None) -> Self:
        env = environment or Environment()
        settings = cls(
            url=env.optional("DATABASE_URL"),
            secret_arn=env.optional("DATABASE_SECRET_ARN"),
            iam_auth=env.flag("DATABASE_IAM_AUTH", default=False),
            host=env.optional("DATABASE_HOST"),
            port=env.whole("DATABASE_PORT", 5432, least=1, most=65535),
            name=env.optional("DATABASE_NAME"),
            user=env.optional("DATABASE_USER"),
            ssl_mode=env.text("DATABASE_SSL_MODE", "require"),
            connect_timeout_s=env.whole("DATABASE_CONNECT_TIMEOUT_S", 5, least=1, most=60),
            statement_timeout_ms=env.whole("DATABASE_STATEMENT_TIMEOUT_MS", 25_000, least=0, most=900_000),
            idle_in_transaction_timeout_ms=env.whole(
                "DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS", 20_000, least=0, most=900_000
            ),
            keepalive_idle_s=env.whole("DATABASE_KEEPALIVE_IDLE_S", 30, least=0, most=7200),
            tcp_user_timeout_ms=env.whole("DATABASE_TCP_USER_TIMEOUT_MS", 30_000, least=0, most=900_000),
            connection_max_age_s=env.whole("DATABASE_CONNECTION_MAX_AGE_S", 1800, least=0, most=86_400),
        )
        if settings.url is None and settings.secret_arn is None and not settings.iam_auth:
            raise ConfigurationError(
                "DATABASE_URL is not set: give a PostgreSQL URL, or DATABASE_SECRET_ARN, or DATABASE_IAM_AUTH=true"
                " with DATABASE_HOST, DATABASE_NAME and DATABASE_USER"
            )
        if settings.url is None and settings.iam_auth and not (settings.host and settings.name and settings.user):
            raise ConfigurationError("DATABASE_IAM_AUTH wants DATABASE_HOST, DATABASE_NAME and DATABASE_USER as well")
        return settings


@dataclass(frozen=True, slots=True)
class GapSettings:
    """When a hole in a device's sequence is asked for, and when it is given up."""

    grace_s: float = 3.0
    """How old a hole must be: late neighbours usually arrive within this."""
    first_retry_s: float = 10.0
    longest_retry_s: float = 600.0
    sequences_per_request: int = 10_000
    give_up_after_s: float = 7 * 86_400.0

    @classmethod
    def from_environment(cls, environment: Environment | None = None) -> Self:
        env = environment or Environment()
        return cls(
            grace_s=env.number("GAP_GRACE_S", 3.0, least=0, most=3600),
            first_retry_s=env.number("GAP_FIRST_RETRY_S", 10.0, least=0, most=3600),
            longest_retry_s=env.number("GAP_LONGEST_RETRY_S", 600.0, least=1, most=86_400),
            sequences_per_request=env.whole("GAP_SEQUENCES_PER_REQUEST", 10_000, least=1, most=1_000_000),
            give_up_after_s=env.number("GAP_GIVE_UP_AFTER_S", 7 * 86_400.0, least=60, most=365 * 86_400),
        )


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Where ingest sends what it takes in."""

    topic_arn: str | None = None
    """The SNS hub; None: nothing is published."""
    dead_letter_queue_url: str | None = None
    """Where poison goes with its reason; None: it is returned to the event source's own dead-letter policy."""
    iot_data_endpoint: str | None = None
    """Where commands to devices are published (``https://…``); None: the account's default."""
    max_future_s: float = 86_400.0
    """How far ahead of the cloud's clock an event may claim to be."""
    chunk_size: int = 1000
    """Most events a transaction: while one chunk is being stored, the next is being parsed."""
    max_labels_per_site: int = 1000
    """Names of classes and zones, together, that a site may use in a month; an event with one more is rejected
    (``too_many_labels``). Raise it for models with more classes: counts are kept by name, hour and camera, so each name
    in use takes some 300 bytes an hour and camera."""
    kafka_partial_responses: bool = False
    """Whether the Kafka event source has ``ReportBatchItemFailures``. Without it Lambda takes every answer for success,
    so a batch of which anything must come again is failed as a whole."""

    @classmethod
    def from_environment(cls, environment: Environment | None = None) -> Self:
        env = environment or Environment()
        return cls(
            topic_arn=env.optional("EVENTS_TOPIC_ARN"),
            dead_letter_queue_url=env.optional("DEAD_LETTER_QUEUE_URL"),
            iot_data_endpoint=env.optional("IOT_DATA_ENDPOINT"),
            max_future_s=env.number("MAX_FUTURE_S", 86_400.0, least=0, most=366 * 86_400),
            chunk_size=env.whole("INGEST_CHUNK_SIZE", 1000, least=1, most=10_000),
            max_labels_per_site=env.whole("MAX_LABELS_PER_SITE", 1000, least=10, most=100_000),
            kafka_partial_responses=env.flag("KAFKA_PARTIAL_RESPONSES", default=False),
        )


@dataclass(frozen=True, slots=True)
class PlateSettings:
    """Where the master key to protected plates is, and who may read them."""

    master_key: str | None = None
    """``kms:KEY`` or ``file:PATH``; None: no site's plates can be protected."""
    readers_role: str | None = None
    """Name of the role or group in a caller's token whose bearers may read protected plates; None: nobody may."""
    everybody_reads: bool = False
    """Whether whoever reaches the API may read them: for a machine of your own."""

    @classmethod
    def from_environment(cls, environment: Environment | None = None) -> Self:
        env = environment or Environment()
        return cls(
            master_key=env.optional("PLATE_MASTER_KEY"),
            readers_role=env.optional("PLATE_READERS_ROLE"),
            everybody_reads=env.flag("PLATE_READERS_EVERYBODY", default=False),
        )


@dataclass(frozen=True, slots=True, repr=False)
class FanoutSettings:
    """Which target this fan-out function feeds. No repr: the Redis URL may hold a password."""

    target: str = "redis"
    redis_url: str | None = None
    redis_stream: str | None = None
    """Name of a capped stream that every event is also added to; None: channels only."""
    redis_stream_length: int = 100_000

    @classmethod
    def from_environment(cls, environment: Environment | None = None) -> Self:
        env = environment or Environment()
        return cls(
            target=env.text("FANOUT_TARGET", "redis"),
            redis_url=env.optional("REDIS_URL"),
            redis_stream=env.optional("REDIS_STREAM"),
            redis_stream_length=env.whole("REDIS_STREAM_LENGTH", 100_000, least=1, most=100_000_000),
        )


@dataclass(frozen=True, slots=True)
class MaintenanceSettings:
    """How far ahead partitions are made and how long events are kept."""

    months_ahead: int = 3
    retention_days: int | None = None
    """Whole months older than this are dropped; None: events are kept for ever."""
    budget_s: float = 200.0
    """How long one run may move events out of the default partition before the next one goes on."""
    iot_data_endpoint: str | None = None
    snapshot_bucket: str | None = None
    """Where the pictures of deleted events are deleted; None: nowhere."""
    snapshot_retention_days: int | None = None
    """Pictures older than this are deleted; None: a lifecycle rule of the bucket does that, or nobody."""

    @classmethod
    def from_environment(cls, environment: Environment | None = None) -> Self:
        env = environment or Environment()
        kept = env.whole("RETENTION_DAYS", 0, least=0, most=36_500)
        pictures_kept = env.whole("SNAPSHOT_RETENTION_DAYS", 0, least=0, most=36_500)
        return cls(
            months_ahead=env.whole("PARTITION_MONTHS_AHEAD", 3, least=1, most=24),
            retention_days=kept or None,
            budget_s=env.number("MAINTENANCE_BUDGET_S", 200.0, least=1, most=3600),
            iot_data_endpoint=env.optional("IOT_DATA_ENDPOINT"),
            snapshot_bucket=env.optional("SNAPSHOT_BUCKET"),
            snapshot_retention_days=pictures_kept or None,
        )
