"""The objects that routes use: created once per process in ``wiring`` and stored in ``app.state.dependencies``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from fastapi import Depends, Request

from cloud_functions.api.backends.database import ApiDatabase
from cloud_functions.api.backends.health_probes import HealthProbe
from cloud_functions.api.backends.reply_signals import PolledReplySignals, ReplySignals
from cloud_functions.api.backends.stream import StreamBackend
from cloud_functions.api.backends.thread_pool import ThreadPool
from cloud_functions.api.http.limits import Limits
from cloud_functions.api.http.middleware.request_metrics import RequestMetrics
from cloud_functions.api.security.audit.middleware import AuditTrail
from cloud_functions.api.security.permissions import Authorizer
from cloud_functions.api.security.plate_access import PlateAccess
from cloud_functions.api.security.tokens import AccessTokens
from cloud_functions.device_commands import CommandPublisher
from cloud_functions.device_configuration import ConfigurationSender
from cloud_functions.privacy.camera_passwords import CameraPasswords
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from cloud_functions.snapshot_store import SnapshotStore
from shared.clock import Clock


class Closable(Protocol):
    """An object with threads or connections to close."""

    def close(self) -> None:
        """Release threads and connections."""
        ...


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The dependencies of one process."""

    database: ApiDatabase
    snapshots: SnapshotStore
    authorizer: Authorizer
    probes: tuple[HealthProbe, ...]
    thread_pool: ThreadPool
    commands: CommandPublisher
    clock: Clock
    limits: Limits
    plate_access: PlateAccess = field(default_factory=PlateAccess)
    camera_passwords: CameraPasswords = field(default_factory=CameraPasswords)
    webhook_secrets: WebhookSecrets = field(default_factory=WebhookSecrets)
    replay_targets: frozenset[str] = frozenset()
    """The fan-out targets of the deployment, to which replays can be sent."""
    replies: ReplySignals = field(default_factory=PolledReplySignals)
    stream: StreamBackend = field(default_factory=StreamBackend)
    tokens: AccessTokens | None = None
    """Access tokens of users; None if the gateway authorizes callers."""
    session_over_http: bool = False
    """Whether the dashboard's session cookie is also sent over plain http to other machines."""
    limits_rates: bool = False
    """Whether ``authorizer`` limits the requests of each caller."""
    request_metrics: RequestMetrics | None = None
    """Counts requests on the one-machine stack."""
    audit: AuditTrail | None = None
    """The audit log; None if the gateway authorizes callers, whom the API then does not know."""
    retention_days: int | None = None
    """``RETENTION_DAYS`` of maintenance, which the API only shows; None for no limit."""
    prepare: Callable[[], None] | None = None
    """Makes ahead of the first request what would delay it. May take seconds, and raises nothing."""
    health_closables: tuple[Closable, ...] = ()
    """Threads and connections that serve only health checks, in the order in which they are closed."""

    @property
    def configurations(self) -> ConfigurationSender:
        """Sends devices their configuration after a change."""
        return ConfigurationSender(publisher=self.commands, passwords=self.camera_passwords, clock=self.clock)

    def close(self) -> None:
        """Close all threads and connections."""
        for closable in self.health_closables:
            closable.close()
        self.replies.close()
        self.thread_pool.close()
        self.database.close()


async def dependencies_of(request: Request) -> Dependencies:
    """Return the dependencies of the application that handles the request."""
    return request.app.state.dependencies


Deps = Annotated[Dependencies, Depends(dependencies_of)]
