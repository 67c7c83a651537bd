"""Settings of the functions, read once from environment variables; errors name the variable.

No other module in ``cloud_functions`` reads the environment. The settings are plain dataclasses, not pydantic models,
because every cold start imports this module.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from shared.errors import ConfigurationError

log = logging.getLogger(__name__)

OBSOLETE_VARIABLES: Final[Mapping[str, str]] = {
    "SNAPSHOTS_DIR": "snapshots are in the bucket that SNAPSHOT_BUCKET names; vedette-local obeys the variable",
    "ENABLE_SNAPSHOTS": "devices make the snapshots: an edge agent obeys the variable, a function does not",
    "CELERY_BROKER_URL": "regular work runs as scheduled functions",
    "CELERY_RESULT_BACKEND": "regular work runs as scheduled functions",
}
"""Variables of comparable systems that have no effect on functions, with what takes their place."""

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_DATABASE_VARIABLES: Final = ("DATABASE_URL", "DATABASE_SECRET_ARN", "DATABASE_IAM_AUTH")
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_NOT_IN_HOST: Final = re.compile(r"[^0-9A-Za-z._:-]")


class Environment:
    """Reads typed values from environment variables. An empty variable counts as unset."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables

    def optional(self, name: str) -> str | None:
        """Return the text, or None if the variable is unset."""
        return self._variables.get(name, "").strip() or None

    def text(self, name: str, default: str) -> str:
        """Return the text, or ``default`` if the variable is unset."""
        return self.optional(name) or default

    def required(self, name: str, *, purpose: str) -> str:
        """Return the text; raise ConfigurationError, which states ``purpose``, if the variable is unset."""
        value = self.optional(name)
        if value is None:
            raise ConfigurationError(f"{name} is not set: {purpose}")
        return value

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """Return a number from ``least`` to ``most``, inclusive."""
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
        """Return an integer from ``least`` to ``most``, inclusive."""
        value = self.number(name, default, least=least, most=most)
        if value != int(value):
            raise ConfigurationError(f"{name} must be a whole number from {least} to {most}")
        return int(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean written as 1/0, true/false, yes/no or on/off."""
        text = self.optional(name)
        if text is None:
            return default
        if text.lower() not in _TRUE | _FALSE:
            raise ConfigurationError(f"{name} must be true or false")
        return text.lower() in _TRUE


def warn_of_obsolete_variables(environment: Environment | None = None) -> None:
    """Log one warning that names the obsolete variables that are set; their values are not logged."""
    env = environment or Environment()
    found = [f"{name} ({instead})" for name, instead in OBSOLETE_VARIABLES.items() if env.optional(name)]
    if found:
        log.warning("environment variables without effect: %s", "; ".join(found))


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseSettings:
    """The address of the database and the credentials: a URL, a secret, or an IAM token. No repr, to protect them."""

    url: str | None = None
    secret_arn: str | None = None
    iam_auth: bool = False
    host: str | None = None
    port: int = 5432
    name: str | None = None
    user: str | None = None
    ssl_mode: str = "require"
    ssl_root_cert: str | None = None
    """File with the certificates of the authorities that the server's certificate is checked against."""
    connect_timeout_s: int = 5
    statement_timeout_ms: int = 25_000
    idle_in_transaction_timeout_ms: int = 20_000
    """Time after which the server ends a transaction whose client is silent and may hold locks; 0 disables it."""
    keepalive_idle_s: int = 30
    """Idle time of a connection before TCP sends keepalive probes; 0 disables them."""
    tcp_user_timeout_ms: int = 30_000
    """Time that sent data may stay unacknowledged before the connection counts as lost; 0 uses the system default."""
    connection_max_age_s: int = 1800
    """Maximum age of a connection when a transaction begins; an older one is replaced. 0 disables the limit."""
    idle_session_timeout_s: int = 0
    """Time without a statement after which the server closes the connection, also that of a frozen process; 0 disables
    it. Not for poolers that keep connections for several clients."""

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
            ssl_mode=_ssl_mode(env),
            ssl_root_cert=env.optional("DATABASE_SSL_ROOT_CERT"),
            connect_timeout_s=env.whole("DATABASE_CONNECT_TIMEOUT_S", 5, least=1, most=60),
            statement_timeout_ms=env.whole("DATABASE_STATEMENT_TIMEOUT_MS", 25_000, least=0, most=900_000),
            idle_in_transaction_timeout_ms=env.whole(
                "DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS", 20_000, least=0, most=900_000
            ),
            keepalive_idle_s=env.whole("DATABASE_KEEPALIVE_IDLE_S", 30, least=0, most=7200),
            tcp_user_timeout_ms=env.whole("DATABASE_TCP_USER_TIMEOUT_MS", 30_000, least=0, most=900_000),
            connection_max_age_s=env.whole("DATABASE_CONNECTION_MAX_AGE_S", 1800, least=0, most=86_400),
            idle_session_timeout_s=env.whole("DATABASE_IDLE_SESSION_TIMEOUT_S", 0, least=0, most=86_400),
        )
        if settings.url is None and settings.secret_arn is None and not settings.iam_auth:
            raise ConfigurationError(
                "DATABASE_URL is not set: set a PostgreSQL URL, or DATABASE_SECRET_ARN, or DATABASE_IAM_AUTH=true"
                " with DATABASE_HOST, DATABASE_NAME and DATABASE_USER"
            )
        if settings.url is None and settings.iam_auth and not (settings.host and settings.name and settings.user):
            raise ConfigurationError("DATABASE_IAM_AUTH also requires DATABASE_HOST, DATABASE_NAME and DATABASE_USER")
        return settings


def _ssl_mode(env: Environment) -> str:
    """Return ``DATABASE_SSL_MODE``. Authorities are only named to check the server's certificate and name."""
    mode = env.text("DATABASE_SSL_MODE", "verify-full" if env.optional("DATABASE_SSL_ROOT_CERT") else "require")
    if mode not in _SSL_MODES:
        raise ConfigurationError(f"DATABASE_SSL_MODE must be one of {', '.join(_SSL_MODES)}")
    return mode


@dataclass(frozen=True, slots=True)
class GapSettings:
    """When ingest requests the missing events of a sequence gap, and when it gives up."""

    grace_s: float = 3.0
    """Minimum age of a gap before the first request. Events that are merely late usually arrive within it."""
    first_retry_s: float = 10.0
    """Time before a request is repeated. It doubles with each repetition, up to ``longest_retry_s``."""
    longest_retry_s: float = 600.0
    """Maximum time between two requests for the same gap."""
    sequences_per_request: int = 10_000
    """Maximum sequence numbers in one request. Raising it fills long gaps sooner, with larger bursts."""
    give_up_after_s: float = 7 * 86_400.0
    """Age at which an open gap counts as lost."""

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
    """Destinations and limits of ingest."""

    topic_arn: str | None = None
    """SNS topic for stored events; None publishes nothing."""
    dead_letter_queue_url: str | None = None
    """SQS queue for rejected messages; None returns them to the event source and its own dead-letter queue."""
    queue_url: str | None = None
    """SQS queue of ingest, whose returned messages are delivered again after a short pause; with None they wait for the
    queue's visibility timeout."""
    iot_data_endpoint: str | None = None
    """Endpoint (``https://…``) for commands to devices; None uses the default endpoint of the account."""
    max_future_s: float = 86_400.0
    """Maximum time by which the timestamp of an event may be in the future. Later events are rejected."""
    chunk_size: int = 1000
    """Maximum events in a transaction. Raising it reduces the work for each event and lengthens the transaction."""
    max_labels_per_site: int = 1000
    """Maximum number of class and zone names, together, that a site may use in a month. An event that exceeds it is
    rejected (``too_many_labels``). Raise it for models with more classes. Counts are stored by name, hour and camera,
    so each name in use takes about 300 bytes for every hour and camera."""
    compress_above_bytes: int | None = None
    """Size above which the document of an event is published compressed; None compresses none. Every subscriber of the
    topic must understand the message attribute ``content_encoding`` then."""
    fanout_events_per_s: float | None = None
    """Repetitive events (motion, detection, and updates of tracked objects) of a camera that are published in a second;
    None publishes all. Lowering it saves subscribers work; the events are stored all the same."""
    fanout_burst: int = 50
    """Repetitive events of a camera that are published at once after a pause."""
    kafka_partial_responses: bool = False
    """Whether the Kafka event source mapping has ``ReportBatchItemFailures``. Without it, Lambda treats every response
    as a success, so ingest fails the whole batch if one of its messages must be delivered again."""

    @classmethod
    def from_environment(cls, environment: Environment | None = None) -> Self:
        env = environment or Environment()
        return cls(
            topic_arn=env.optional("EVENTS_TOPIC_ARN"),
            dead_letter_queue_url=env.optional("DEAD_LETTER_QUEUE_URL"),
            queue_url=env.optional("RETURN_QUEUE_URL"),
            iot_data_endpoint=env.optional("IOT_DATA_ENDPOINT"),
            max_future_s=env.number("MAX_FUTURE_S", 86_400.0, least=0, most=366 * 86_400),
            chunk_size=env.whole("INGEST_CHUNK_SIZE", 1000, least=1, most=10_000),
            max_labels_per_site=env.whole("MAX_LABELS_PER_SITE", 1000, least=10, most=100_000),
            compress_above_bytes=env.whole("COMPRESS_ABOVE_BYTES", 0, least=0, most=256 * 1024) or None,
            fanout_events_per_s=env.number("FANOUT_EVENTS_PER_S", 0, least=0, most=10_000) or None,
            fanout_burst=env.whole("FANOUT_BURST", 50, least=1, most=100_000),
            kafka_partial_responses=env.flag("KAFKA_PARTIAL_RESPONSES", default=False),
        )


@dataclass(frozen=True, slots=True)
class PlateSettings:
    """The master key of protected plates, and who may read the plates."""

    master_key: str | None = None
    """``kms:KEY`` or ``file:PATH``; with None no site can be protected."""
    readers_role: str | None = None
    """Role or group, as in a caller's token, whose members may read protected plates; None: no caller may."""
    everybody_reads: bool = False
    """Whether every caller of the API may read protected plates. For a private machine only."""

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
    """The target of a fan-out function. No repr, because the Redis URL may contain a password."""

    target: str = "redis"
    redis_url: str | None = None
    redis_channel: str = "events"
    """Channel of all events. Those of a type and of a camera begin with it: ``{channel}:{type}``."""
    redis_stream: str | None = None
    """Capped Redis stream that receives every event in addition to the channels; None: no stream."""
    redis_stream_length: int = 100_000
    """Approximate number of events that the stream keeps. Raising it takes more Redis memory."""
    database: DatabaseSettings | None = None
    """The database with the webhooks; None if no variable names one."""
    master_key: str | None = None
    """``kms:KEY`` or ``file:PATH``: wraps the secrets that sign deliveries to webhooks."""
    webhook_networks: str = ""
    """Networks with private addresses that webhooks may reach, such as ``10.0.0.0/8, 192.168.1.0/24``, also over plain
    http. Without it they reach public addresses over https only. Link-local addresses are never reached."""
    webhook_max_pending: int = 10_000
    """Deliveries that may be pending for one webhook. Raising it keeps more for a receiver that is down, and takes more
    of the database."""
    webhooks_in_background: bool = False
    """Whether deliveries go on after an invocation has ended. Not for Lambda, which freezes the process then."""
    websocket_endpoint: str | None = None
    """Management API of WebSocket connections (``https://…/STAGE``), without ``/@connections``."""

    @classmethod
    def from_environment(cls, environment: Environment | None = None) -> Self:
        env = environment or Environment()
        return cls(
            target=env.text("FANOUT_TARGET", "redis"),
            redis_url=redis_url(env),
            redis_channel=env.text("REDIS_CHANNEL_NAME", "events"),
            redis_stream=env.optional("REDIS_STREAM"),
            redis_stream_length=env.whole("REDIS_STREAM_LENGTH", 100_000, least=1, most=100_000_000),
            database=DatabaseSettings.from_environment(env) if any(map(env.optional, _DATABASE_VARIABLES)) else None,
            master_key=env.optional("PLATE_MASTER_KEY"),
            webhook_networks=env.text("WEBHOOK_ALLOWED_NETWORKS", ""),
            webhook_max_pending=env.whole("WEBHOOK_MAX_PENDING", 10_000, least=100, most=1_000_000),
            webhooks_in_background=env.flag("WEBHOOKS_IN_BACKGROUND", default=False),
            websocket_endpoint=env.optional("WEBSOCKET_ENDPOINT"),
        )


def fanout_queues(env: Environment) -> dict[str, str]:
    """Return the queue URL of each fan-out target, from ``FANOUT_QUEUES``: ``redis=https://… webhook=https://…``."""
    queues: dict[str, str] = {}
    for entry in env.text("FANOUT_QUEUES", "").split():
        target, separator, url = entry.partition("=")
        if not target or not separator or not url:
            raise ConfigurationError("FANOUT_QUEUES must be like redis=https://… webhook=https://…")
        queues[target] = url
    return queues


def redis_url(env: Environment) -> str | None:
    """Return ``REDIS_URL``, or the URL of its parts; None if neither is set."""
    return env.optional("REDIS_URL") or _redis_url_of_parts(env)


def _redis_url_of_parts(env: Environment) -> str | None:
    """Return the URL for ``REDIS_HOST``, ``REDIS_PORT`` and ``REDIS_DB``, or None without a host."""
    host = env.optional("REDIS_HOST")
    if host is None:
        return None
    if _NOT_IN_HOST.search(host):
        raise ConfigurationError("REDIS_HOST must be a host name or an IP address; use REDIS_URL for anything else")
    port = env.whole("REDIS_PORT", 6379, least=1, most=65535)
    database = env.whole("REDIS_DB", 0, least=0, most=1_000_000)
    return f"redis://[{host}]:{port}/{database}" if ":" in host else f"redis://{host}:{port}/{database}"


@dataclass(frozen=True, slots=True)
class MaintenanceSettings:
    """How far ahead partitions are made, and how long events, snapshots and the audit log are kept."""

    months_ahead: int = 3
    """Number of future months that have a partition."""
    retention_days: int | None = None
    """Age at which whole months of events are dropped; with None events are kept without limit."""
    budget_s: float = 200.0
    """Maximum time for moving events out of the default partition in one run; the next run continues."""
    iot_data_endpoint: str | None = None
    """Endpoint (``https://…``) for commands to devices; None uses the default endpoint of the account."""
    ingest_queue_url: str | None = None
    """SQS queue of ingest, for events about silent devices; with None they are not sent."""
    snapshot_bucket: str | None = None
    """Bucket from which the snapshots of deleted events are deleted; with None they are not deleted."""
    snapshot_retention_days: int | None = None
    """Age at which snapshots are deleted; with None only a lifecycle rule of the bucket deletes them."""
    audit_retention_days: int | None = None
    """Age at which entries of the audit log are removed; with None they are kept without limit."""
    health_retention_days: int = 30
    """Age at which health records of cameras are deleted. A higher value keeps a longer history."""
    fanout_queues: Mapping[str, str] = field(default_factory=dict[str, str])
    """The queue of each fan-out target, by target, into which replays are sent."""
    replay_events_per_s: int = 100
    """Events that replays send in a second, all together. Raising it shortens a replay, and live events wait longer
    behind its events."""
    orphan_grace_days: int = 14
    """Age from which an object that nothing shows counts as orphaned. Keep it above the ``max_age_s`` of outboxes."""
    orphan_delete_days: int | None = None
    """Days after which an orphaned object that was found is deleted; with None they are only reported."""
    reindex_min_waste_bytes: int = 64 * 1024 * 1024
    """Space that rebuilding an index must free. With a higher value fewer indexes are rebuilt."""

    @classmethod
    def from_environment(cls, environment: Environment | None = None) -> Self:
        env = environment or Environment()
        retention_days = env.whole("RETENTION_DAYS", 0, least=0, most=36_500)
        snapshot_retention_days = env.whole("SNAPSHOT_RETENTION_DAYS", 0, least=0, most=36_500)
        return cls(
            months_ahead=env.whole("PARTITION_MONTHS_AHEAD", 3, least=1, most=24),
            retention_days=retention_days or None,
            budget_s=env.number("MAINTENANCE_BUDGET_S", 200.0, least=1, most=3600),
            iot_data_endpoint=env.optional("IOT_DATA_ENDPOINT"),
            ingest_queue_url=env.optional("INGEST_QUEUE_URL"),
            snapshot_bucket=env.optional("SNAPSHOT_BUCKET"),
            snapshot_retention_days=snapshot_retention_days or None,
            audit_retention_days=env.whole("AUDIT_RETENTION_DAYS", 0, least=0, most=36_500) or None,
            health_retention_days=env.whole("HEALTH_RETENTION_DAYS", 30, least=1, most=36_500),
            fanout_queues=fanout_queues(env),
            replay_events_per_s=env.whole("REPLAY_EVENTS_PER_S", 100, least=1, most=1000),
            orphan_grace_days=env.whole("ORPHAN_GRACE_DAYS", 14, least=1, most=3650),
            orphan_delete_days=env.whole("ORPHAN_DELETE_DAYS", 0, least=0, most=3650) or None,
            reindex_min_waste_bytes=env.whole("REINDEX_MIN_WASTE_MB", 64, least=1, most=1_000_000) * 1024 * 1024,
        )
