"""The composition root: builds the application for Lambda and for uvicorn from the settings.

uvicorn runs ``uvicorn --factory cloud_functions.api.wiring:server_app_from_environment``.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI

from cloud_functions.api.app import create_app
from cloud_functions.api.backends.database import ApiDatabase
from cloud_functions.api.backends.health_probes import (
    HEALTH_TIMEOUT_MS,
    BucketProbe,
    DatabaseProbe,
    FanOutProbe,
    HealthProbe,
    WriteProbe,
)
from cloud_functions.api.backends.reply_signals import ListeningReplySignals, PolledReplySignals
from cloud_functions.api.backends.stream import NoSignal, QueueSignal, StreamBackend
from cloud_functions.api.backends.thread_pool import InlineThreadPool, ServerThreadPool, ThreadPool
from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.docs_pages import packaged_assets
from cloud_functions.api.http.limits import LAMBDA_LIMITS, SERVER_LIMITS, Limits
from cloud_functions.api.http.middleware.cors import CorsMiddleware
from cloud_functions.api.http.middleware.disconnect import CancelOnDisconnectMiddleware
from cloud_functions.api.http.middleware.request_metrics import RequestMetrics
from cloud_functions.api.http.request_ids import RequestIdFilter
from cloud_functions.api.security.audit.middleware import AuditTrail
from cloud_functions.api.security.audit.request_audit import change_hook
from cloud_functions.api.security.gateway.authorizer import GatewayAuthorizer
from cloud_functions.api.security.oidc.issuer_keys import IssuerKeys
from cloud_functions.api.security.oidc.tokens import OidcTokens
from cloud_functions.api.security.origin_middleware import OriginCheckMiddleware
from cloud_functions.api.security.permissions import AllowAll, Authorizer
from cloud_functions.api.security.plate_access import PlateAccess
from cloud_functions.api.security.plate_read_policy import PlateReadPolicy
from cloud_functions.api.security.rate_limit.limiters import ProcessRateLimiter, RateLimiter, RedisRateLimiter
from cloud_functions.api.security.roles import ROLES, Role, is_role
from cloud_functions.api.security.tokens import AccessTokens
from cloud_functions.api.security.user_authorizer import UserAuthorizer
from cloud_functions.api.settings import ApiSettings
from cloud_functions.api.websocket.handler import StreamHandler
from cloud_functions.api.websocket.server import WebSocketMiddleware
from cloud_functions.aws import AwsClients
from cloud_functions.db.connect import Database, connector
from cloud_functions.device_commands import IotCommandPublisher
from cloud_functions.observability import configure_server_logging
from cloud_functions.plates.master_keys import master_keys
from cloud_functions.privacy.camera_passwords import CameraPasswords
from cloud_functions.privacy.vault import PlateVault
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from cloud_functions.settings import Environment, warn_of_obsolete_variables
from cloud_functions.snapshot_store import S3SnapshotStore
from shared.clock import Clock, SystemClock
from shared.errors import ConfigurationError

logger = logging.getLogger(__name__)

_HEALTH_THREADS = 2


def lambda_app(settings: ApiSettings) -> FastAPI:
    """Return the application for Lambda: one request at a time, responses within Lambda's size limit."""
    # A gateway admits callers without roles. They may do everything except read the passwords of cameras.
    authorizer = AllowAll(denied={"export:credentials", "plates:reveal"})
    return _app(settings, thread_pool=InlineThreadPool(), limits=LAMBDA_LIMITS, authorizer=authorizer)


def server_app_from_environment() -> FastAPI:
    """Return the application for uvicorn with the settings of the environment."""
    env = Environment()
    configure_server_logging(
        log_format=env.text("LOG_FORMAT", "text"), level=env.text("LOG_LEVEL", "INFO"), filters=[RequestIdFilter()]
    )
    warn_of_obsolete_variables()
    return server_app(ApiSettings.from_environment())


def server_app(settings: ApiSettings, *, threads: int = 8) -> FastAPI:
    """Return the application for a server that handles many requests at once.

    It opens at most ``threads`` database connections, two more for health checks, and one on which it waits for the
    replies of devices. It accepts requests for
    localhost, IP addresses and ``settings.allowed_hosts`` only.
    """
    app = _app(
        settings,
        thread_pool=ServerThreadPool(threads=threads),
        health_thread_pool=ServerThreadPool(threads=_HEALTH_THREADS),
        limits=SERVER_LIMITS,
        authorizer=AllowAll(denied={"plates:reveal"}),  # the policy of protected plates decides
    )
    app.add_middleware(CancelOnDisconnectMiddleware)
    app.add_middleware(
        WebSocketMiddleware,
        handler=StreamHandler(app.state.dependencies),
        management_port=settings.websocket_port,
    )
    app.add_middleware(
        OriginCheckMiddleware, allowed_hosts=settings.allowed_hosts, allowed_origins=settings.cors_origins
    )
    return app


def _app(
    settings: ApiSettings,
    *,
    thread_pool: ThreadPool,
    limits: Limits,
    authorizer: Authorizer,
    health_thread_pool: ThreadPool | None = None,
) -> FastAPI:
    """Return the application. It opens no connection yet.

    ``health_thread_pool`` reserves threads and connections for health checks, so that slow queries do not delay them.
    Without it, health checks share the threads of all other requests.
    """
    aws, clock, queue_url = AwsClients(), SystemClock(), settings.websocket_queue_url
    database = _database(settings, thread_pool, aws)
    health_database = database
    if health_thread_pool is not None:
        health_database = _database(settings, health_thread_pool, aws, statement_timeout_ms=HEALTH_TIMEOUT_MS)
    keys = None if settings.plates.master_key is None else master_keys(settings.plates.master_key, aws=aws)
    snapshots = S3SnapshotStore(bucket=settings.bucket, aws=aws)
    tokens = AccessTokens(clock=clock, master_keys=keys) if settings.authentication == "users" else None
    plate_access = PlateAccess(vault=PlateVault(master_keys=keys), read_policy=_plate_read_policy(settings))
    commands = IotCommandPublisher(aws=aws, endpoint_url=settings.iot_data_endpoint)
    dependencies = Dependencies(
        database=database,
        snapshots=snapshots,
        authorizer=(
            _gateway_authorizer(settings, authorizer)
            if tokens is None
            else _user_authorizer(settings, database, tokens, thread_pool, clock)
        ),
        probes=_probes(settings, health_database, snapshots, health_thread_pool or thread_pool, aws=aws, clock=clock),
        thread_pool=thread_pool,
        clock=clock,
        limits=limits,
        health_closables=() if health_thread_pool is None else (health_thread_pool, health_database),
        commands=commands,
        prepare=commands.prepare,
        replies=(
            PolledReplySignals()
            if health_thread_pool is None
            else ListeningReplySignals(connect=connector(settings.database, aws=aws))
        ),
        plate_access=plate_access,
        camera_passwords=CameraPasswords(master_keys=keys),
        webhook_secrets=WebhookSecrets(master_keys=keys),
        replay_targets=settings.replay_targets,
        stream=StreamBackend(
            signal=NoSignal() if queue_url is None else QueueSignal(queue_url=queue_url, aws=aws),
            url=settings.websocket_url,
            needs_ticket=tokens is None and health_thread_pool is None,
        ),
        tokens=tokens,
        session_over_http=settings.session_over_http,
        request_metrics=RequestMetrics(Path(settings.metrics_dir) / "api.json") if settings.metrics_dir else None,
        limits_rates=tokens is not None and settings.rate_limit is not None,
        retention_days=settings.retention_days,
        audit=None if tokens is None else AuditTrail(database, plate_access, records_views=settings.audit_views),
    )
    app = create_app(dependencies=dependencies, docs_assets=packaged_assets(), root_path=settings.root_path)
    if settings.cors_origins:
        app.add_middleware(CorsMiddleware, origins=settings.cors_origins)
    return app


def _gateway_authorizer(settings: ApiSettings, without_roles: Authorizer) -> Authorizer:
    return without_roles if settings.gateway_roles is None else GatewayAuthorizer(settings.gateway_roles)


def _user_authorizer(
    settings: ApiSettings, database: ApiDatabase, tokens: AccessTokens, thread_pool: ThreadPool, clock: Clock
) -> Authorizer:
    """Return the authorizer of users, API keys and, with ``OIDC_ISSUER``, of an issuer's tokens."""
    oidc = None
    if settings.oidc is not None:
        oidc = OidcTokens(settings.oidc, keys=IssuerKeys(settings.oidc.issuer, clock=clock), run=thread_pool.run)
    return UserAuthorizer(
        database=database,
        tokens=tokens,
        anonymous_role=_role(settings.anonymous_role),
        limiter=_rate_limiter(settings, thread_pool, clock),
        oidc=oidc,
    )


def _rate_limiter(settings: ApiSettings, thread_pool: ThreadPool, clock: Clock) -> RateLimiter | None:
    if settings.rate_limit is None:
        return None
    if settings.rate_limit_redis_url is None or find_spec("redis") is None:  # the Lambda artefact has no Redis client
        return ProcessRateLimiter(settings.rate_limit, clock=clock)
    return RedisRateLimiter(settings.rate_limit, url=settings.rate_limit_redis_url, clock=clock, run=thread_pool.run)


def _plate_read_policy(settings: ApiSettings) -> PlateReadPolicy:
    with_users = settings.authentication == "users"
    if with_users and settings.plates.readers_role is not None:
        logger.warning("PLATE_READERS_ROLE has no effect with API_AUTHENTICATION=users: grant plates:reveal instead")
    return PlateReadPolicy.from_settings(settings.plates, with_users=with_users)


def _role(name: str | None) -> Role | None:
    if name is None or is_role(name):
        return name
    raise ConfigurationError(f"ANONYMOUS_ROLE must be one of {', '.join(ROLES)}")


def _database(
    settings: ApiSettings, thread_pool: ThreadPool, aws: AwsClients, *, statement_timeout_ms: int | None = None
) -> ApiDatabase:
    database = settings.database
    if statement_timeout_ms is not None:
        database = replace(database, statement_timeout_ms=statement_timeout_ms)
    return ApiDatabase(
        make_database=lambda: Database.from_settings(database, aws=aws),
        thread_pool=thread_pool,
        commit_hook=change_hook,
    )


def _probes(
    settings: ApiSettings,
    database: ApiDatabase,
    snapshots: S3SnapshotStore,
    thread_pool: ThreadPool,
    *,
    aws: AwsClients,
    clock: Clock,
) -> tuple[HealthProbe, ...]:
    probes: list[HealthProbe] = [
        DatabaseProbe(database),
        WriteProbe(database, clock=clock),
        BucketProbe(store=snapshots, thread_pool=thread_pool),
    ]
    if settings.topic_arn is not None:
        probes.append(FanOutProbe(topic_arn=settings.topic_arn, aws=aws, thread_pool=thread_pool))
    return tuple(probes)
