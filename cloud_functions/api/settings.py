"""The settings of the API, read from environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Self, cast, get_args

from cloud_functions.api.security.gateway.authorizer import GatewayRoles, gateway_roles
from cloud_functions.api.security.oidc.settings import OidcSettings
from cloud_functions.api.security.rate_limit.gcra import RateLimit
from cloud_functions.settings import DatabaseSettings, Environment, PlateSettings, fanout_queues, redis_url
from shared.errors import ConfigurationError

Authentication = Literal["gateway", "users"]
_ORIGIN: Final = re.compile(
    r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::[1-9][0-9]{0,4})?", re.ASCII
)
ANY_ORIGIN: Final = "*"
_PER_MINUTE: Final = 3000
_BURST: Final = 500
_AUTHENTICATIONS: Final = get_args(Authentication)


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Settings of the API."""

    database: DatabaseSettings
    bucket: str
    """Name of the bucket that holds the snapshots."""
    topic_arn: str | None = None
    """ARN of the SNS topic that the health check tests. None disables this check."""
    iot_data_endpoint: str | None = None
    """Endpoint (``https://…``) for commands to devices; None uses the default endpoint of the account."""
    root_path: str = ""
    """Path prefix that a gateway removes from requests, for example the stage of a REST API."""
    allowed_hosts: tuple[str, ...] = ()
    """DNS names that a server (not Lambda) accepts in ``Host``, besides localhost and IP addresses."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may read responses; ``*`` alone is every origin, without cookies. On AWS, an HTTP API has a
    configuration of its own."""
    authentication: Authentication = "gateway"
    """Who authorizes callers. ``gateway``: what is in front of the API. Every request that reaches the API is allowed,
    unless ``gateway_roles`` says who may do what.
    ``users``: the API itself, by access tokens of users and by API keys."""
    gateway_roles: GatewayRoles | None = None
    """With ``gateway``: what callers may do, by the groups, roles and scopes of their token or by their IAM role. None
    allows everybody everything."""
    anonymous_role: str | None = None
    """With ``users``: the role of callers without credentials. None rejects them."""
    websocket_queue_url: str | None = None
    """Queue of the WebSocket fan-out. None: events that a client missed come with the next event or scheduled run."""
    websocket_url: str | None = None
    """Where clients connect to the WebSocket (``wss://…``). None: at ``/api/v1/websocket`` of the API's own address."""
    websocket_port: int | None = None
    """Loopback port on which a server takes what the fan-out sends to WebSocket connections. None: they get nothing."""
    session_over_http: bool = False
    """With ``users``: whether one can log in to the dashboard over plain http from another machine. Everybody on the
    network can then read password and session."""
    audit_views: bool = True
    """With ``users``: whether the audit log holds who viewed pictures, searched plates and exported."""
    oidc: OidcSettings | None = None
    """With ``users``: an OpenID Connect issuer whose tokens are accepted too."""
    rate_limit: RateLimit | None = None
    """With ``users``: how many requests each user, API key or anonymous address may send. None: without limit."""
    rate_limit_redis_url: str | None = None
    """Where all processes count together; without it, each process counts for itself."""
    replay_targets: frozenset[str] = frozenset()
    """The fan-out targets of the deployment, to which replays can be sent."""
    metrics_dir: str | None = None
    """Folder for the counts of requests, on the one-machine stack. None counts nothing."""
    plates: PlateSettings = field(default_factory=PlateSettings)
    retention_days: int | None = None
    """``RETENTION_DAYS`` of maintenance, which the API only shows. None: no limit."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> Self:
        """Read the settings; raise ConfigurationError for a missing or invalid variable."""
        env = Environment(variables)
        authentication = env.text("API_AUTHENTICATION", "gateway")
        if authentication not in _AUTHENTICATIONS:
            raise ConfigurationError(f"API_AUTHENTICATION must be {' or '.join(_AUTHENTICATIONS)}")
        roles = gateway_roles(env.optional("GATEWAY_ROLES"))
        if roles is not None and authentication != "gateway":
            raise ConfigurationError("GATEWAY_ROLES requires API_AUTHENTICATION=gateway")
        anonymous_role = env.optional("ANONYMOUS_ROLE")
        if anonymous_role is not None and authentication != "users":
            raise ConfigurationError("ANONYMOUS_ROLE requires API_AUTHENTICATION=users")
        oidc = OidcSettings.from_environment(env)
        if oidc is not None and authentication != "users":
            raise ConfigurationError("OIDC_ISSUER requires API_AUTHENTICATION=users")
        return cls(
            database=DatabaseSettings.from_environment(env),
            bucket=env.required("SNAPSHOT_BUCKET", purpose="the bucket to which devices upload snapshots"),
            topic_arn=env.optional("EVENTS_TOPIC_ARN"),
            metrics_dir=env.optional("METRICS_DIR"),
            iot_data_endpoint=env.optional("IOT_DATA_ENDPOINT"),
            root_path=env.text("API_ROOT_PATH", ""),
            allowed_hosts=tuple(env.text("ALLOWED_HOSTS", "").replace(",", " ").split()),
            cors_origins=parse_origins(env.text("CORS_ORIGINS", "")),
            authentication=cast("Authentication", authentication),
            gateway_roles=roles,
            anonymous_role=anonymous_role,
            websocket_queue_url=env.optional("WEBSOCKET_QUEUE_URL"),
            websocket_url=env.optional("WEBSOCKET_URL"),
            websocket_port=env.whole("WEBSOCKET_PORT", 0, least=0, most=65535) or None,
            session_over_http=env.flag("SESSION_OVER_HTTP", default=False),
            audit_views=env.flag("AUDIT_VIEWS", default=True),
            oidc=oidc,
            rate_limit=_rate_limit(env, is_on=authentication == "users"),
            rate_limit_redis_url=redis_url(env),
            replay_targets=frozenset(fanout_queues(env)),
            plates=PlateSettings.from_environment(env),
            retention_days=env.whole("RETENTION_DAYS", 0, least=0, most=36_500) or None,
        )


def _rate_limit(env: Environment, *, is_on: bool) -> RateLimit | None:
    """Return the limit of each caller; None for no limit, which 0 requests a minute stand for."""
    per_minute = env.whole("RATE_LIMIT_PER_MINUTE", _PER_MINUTE if is_on else 0, least=0, most=1_000_000)
    burst = env.whole("RATE_LIMIT_BURST", _BURST, least=1, most=100_000)
    if per_minute and not is_on:
        raise ConfigurationError("RATE_LIMIT_PER_MINUTE requires API_AUTHENTICATION=users")
    return RateLimit(per_minute, burst) if per_minute else None


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the origins in a list with commas or spaces: ``https://app.example``, or ``*`` alone for every origin.

    Raises ConfigurationError for anything else, such as an origin with a path.
    """
    origins = tuple(origin.lower().rstrip("/") for origin in text.replace(",", " ").split())
    if ANY_ORIGIN in origins:
        if len(origins) > 1:
            raise ConfigurationError("CORS_ORIGINS: * allows every origin, so it must be alone")
        return origins
    if invalid := [origin for origin in origins if _ORIGIN.fullmatch(origin) is None]:
        raise ConfigurationError(f"CORS_ORIGINS: {invalid[0][:100]!r} is not an origin such as https://app.example")
    return origins
