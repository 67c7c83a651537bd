"""Wires the API from its environment: the one place that knows which implementation stands behind each seam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

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
from cloud_functions.api.backends.thread_pool import Workers
from cloud_functions.api.dependencies import Limits, Resources
from cloud_functions.api.http.docs_pages import packaged_assets
from cloud_functions.api.security.permissions import AllowEverybody, Authorizer
from cloud_functions.api.security.plate_access import PlateAccess
from cloud_functions.api.security.plate_read_policy import plate_readers
from cloud_functions.aws import AwsClients
from cloud_functions.db.connect import Database
from cloud_functions.plates.master_keys import master_keys
from cloud_functions.privacy.vault import PlateVault
from cloud_functions.settings import DatabaseSettings, Environment, PlateSettings
from cloud_functions.snapshot_store import S3SnapshotStore
from shared.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What the API is told through its environment."""

    database: DatabaseSettings
    bucket: str
    topic_arn: str | None = None
    """The SNS hub, for the health answer only; None: not configured."""
    root_path: str = ""
    allowed_hosts: tuple[str, ...] = ()
    """DNS names that a server (not Lambda) answers to, besides localhost and IP addresses."""
    plates: PlateSettings = field(default_factory=PlateSettings)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> Self:
        env = Environment(variables)
        return cls(
            database=DatabaseSettings.from_environment(env),
            bucket=env.required("SNAPSHOT_BUCKET", purpose="the bucket that devices put their pictures into"),
            topic_arn=env.optional("EVENTS_TOPIC_ARN"),
            root_path=env.text("API_ROOT_PATH", ""),
            allowed_hosts=tuple(env.text("ALLOWED_HOSTS", "").replace(",", " ").split()),
            plates=PlateSettings.from_environment(env),
        )


def build_app(
    settings: ApiSettings,
    *,
    workers: Workers,
    limits: Limits,
    health_workers: Workers | None = None,
    authorizer: Authorizer | None = None,
    clock: Clock | None = None,
    aws: AwsClients | None = None,
) -> FastAPI:
    """Return the application; connects to nothing yet.

    ``health_workers``: threads, and connections, for health alone, so that it answers while slow queries hold all
    others. Without them health shares the others'.
    """
    clients = aws or AwsClients()
    database = ApiDatabase(
        make_database=lambda: Database.from_settings(settings.database, aws=clients), workers=workers
    )
    snapshots = S3SnapshotStore(bucket=settings.bucket, aws=clients)
    the_clock = clock or SystemClock()
    health_settings = replace(settings.database, statement_timeout_ms=HEALTH_TIMEOUT_MS)
    health_database = database
    if health_workers is not None:
        health_database = ApiDatabase(
            make_database=lambda: Database.from_settings(health_settings, aws=clients), workers=health_workers
        )
    probe_workers = health_workers or workers
    probes: list[HealthProbe] = [
        DatabaseProbe(health_database),
        WriteProbe(health_database, clock=the_clock),
        BucketProbe(store=snapshots, workers=probe_workers),
    ]
    if settings.topic_arn is not None:
        probes.append(FanOutProbe(topic_arn=settings.topic_arn, aws=clients, workers=probe_workers))
    resources = Resources(
        database=database,
        snapshots=snapshots,
        authorizer=authorizer or AllowEverybody(),
        probes=tuple(probes),
        workers=workers,
        clock=the_clock,
        limits=limits,
        of_health=() if health_workers is None else (health_workers, health_database),
        plates=_plate_access(settings.plates, clients),
    )
    return create_app(resources=resources, docs_assets=packaged_assets(), root_path=settings.root_path)


def _plate_access(settings: PlateSettings, aws: AwsClients) -> PlateAccess:
    keys = None if settings.master_key is None else master_keys(settings.master_key, aws=aws)
    return PlateAccess(vault=PlateVault(master_keys=keys), readers=plate_readers(settings))
