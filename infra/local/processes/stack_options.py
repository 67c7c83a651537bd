"""The options of a stack: the user's choices, and their encoding for the supervisor's command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cloud_functions.settings import Environment
from shared.errors import ConfigurationError

DEFAULT_API_PORT = 8069
DEFAULT_REDIS_PORT = 6379
DEFAULT_METRICS_PORT = 9465
OBEYED_VARIABLES: Final = (
    "ALLOWED_HOSTS", "ANONYMOUS_ROLE", "API_AUTHENTICATION", "API_ROOT_PATH", "AUDIT_RETENTION_DAYS", "AUDIT_VIEWS",
    "COMPRESS_ABOVE_BYTES", "CORS_ORIGINS",
    "DATABASE_CONNECTION_MAX_AGE_S", "DATABASE_CONNECT_TIMEOUT_S", "DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS",
    "DATABASE_IDLE_SESSION_TIMEOUT_S",
    "DATABASE_KEEPALIVE_IDLE_S", "DATABASE_STATEMENT_TIMEOUT_MS", "DATABASE_TCP_USER_TIMEOUT_MS",
    "FANOUT_BURST", "FANOUT_EVENTS_PER_S",
    "GAP_FIRST_RETRY_S", "GAP_GIVE_UP_AFTER_S", "GAP_GRACE_S", "GAP_LONGEST_RETRY_S", "GAP_SEQUENCES_PER_REQUEST",
    "GATEWAY_ROLES", "HEALTH_RETENTION_DAYS",
    "INGEST_CHUNK_SIZE", "LOG_FORMAT", "LOG_LEVEL", "MAINTENANCE_BUDGET_S", "MAX_FUTURE_S", "MAX_LABELS_PER_SITE",
    "OIDC_AUDIENCE", "OIDC_CAMERA_GROUPS", "OIDC_CAMERA_GROUPS_CLAIM", "OIDC_GROUPS_CLAIM", "OIDC_ISSUER", "OIDC_ROLES",
    "OIDC_USERNAME_CLAIM",
    "ORPHAN_DELETE_DAYS", "ORPHAN_GRACE_DAYS",
    "PARTITION_MONTHS_AHEAD", "PLATE_MASTER_KEY", "PLATE_READERS_EVERYBODY", "PLATE_READERS_ROLE",
    "RATE_LIMIT_BURST", "RATE_LIMIT_PER_MINUTE", "REDIS_CHANNEL_NAME", "REDIS_STREAM", "REDIS_STREAM_LENGTH",
    "REINDEX_MIN_WASTE_MB",
    "REPLAY_EVENTS_PER_S", "RETENTION_DAYS", "SESSION_OVER_HTTP", "SNAPSHOT_RETENTION_DAYS", "WEBHOOK_ALLOWED_NETWORKS",
    "WEBHOOK_MAX_PENDING",
)  # fmt: skip
"""Variables that reach the functions of a stack from the environment in which it is started."""
_MEANT_WHEN_EMPTY: Final = "ANONYMOUS_ROLE"
"""An empty value closes the API to callers without credentials; other empty variables count as unset."""


@dataclass(frozen=True, slots=True)
class StackOptions:
    """The choices of the user."""

    api_port: int = DEFAULT_API_PORT
    postgres: str = "embedded"
    """Which binaries: ``embedded`` or ``system``."""
    external: Mapping[str, str] | None = None
    """``DATABASE_URL``, ``REDIS_URL``, ``MQTT_URL`` of services to use instead of starting them."""
    redis_port: int | None = 0
    """The port of Redis if it is free. None: that of the previous start, or 6379. 0: that of the previous start, or any
    free one."""
    metrics_port: int = 0
    """The port of the metrics if it is free. 0: that of the previous start, or any free one."""
    snapshots_dir: str | None = None
    """Absolute path of the folder with the objects of the bucket; None: that of the previous start, or one in the state
    folder."""


def external_services(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the services that the environment names; raise ConfigurationError if it names none."""
    services = {name: environment[name] for name in ("DATABASE_URL", "REDIS_URL", "MQTT_URL") if environment.get(name)}
    if not services:
        raise ConfigurationError("--external uses DATABASE_URL, REDIS_URL and MQTT_URL, and none of them is set")
    return services


def redis_port(environment: Mapping[str, str]) -> int | None:
    """Return ``redis_port`` of the options, from REDIS_PORT; raise ConfigurationError if it is not a port or 0."""
    env = Environment(environment)
    if env.optional("REDIS_PORT") is None:
        return None
    return env.whole("REDIS_PORT", DEFAULT_REDIS_PORT, least=0, most=65_535)


def metrics_port(environment: Mapping[str, str]) -> int:
    """Return ``metrics_port`` of the options, from METRICS_PORT; raise ConfigurationError if it is not a port or 0."""
    return Environment(environment).whole("METRICS_PORT", DEFAULT_METRICS_PORT, least=0, most=65_535)


def snapshots_dir(environment: Mapping[str, str]) -> str | None:
    """Return ``snapshots_dir`` of the options, from SNAPSHOTS_DIR; a relative path begins in the current folder."""
    env = Environment(environment)
    folder = env.optional("SNAPSHOTS_DIR")
    return None if folder is None else str(Path(folder).expanduser().absolute())


def variable_digests(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a digest of each obeyed variable that is set. Values may be secrets, so they are not returned."""
    return {
        name: hashlib.sha256(environment[name].encode()).hexdigest()
        for name in OBEYED_VARIABLES
        if name in environment and (environment[name] or name == _MEANT_WHEN_EMPTY)
    }


def options_to_json(options: StackOptions) -> str:
    """Encode the options for the supervisor's command line; URLs with secrets are passed in its environment."""
    return json.dumps(asdict(options) | {"external": bool(options.external)})


def options_from_json(text: str, environment: Mapping[str, str]) -> StackOptions:
    """Decode the result of ``options_to_json``."""
    decoded: dict[str, Any] = json.loads(text)
    external = external_services(environment) if decoded.pop("external") else None
    return StackOptions(**decoded, external=external)
