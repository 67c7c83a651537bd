"""Entry point and composition root of the ingest function: ``cloud_functions.ingest.handler.handler``."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Mapping
from typing import Any

from cloud_functions.aws import AwsClients, starts_ahead_of_requests
from cloud_functions.db.connect import Database
from cloud_functions.device_commands import CommandPublisher, IotCommandPublisher
from cloud_functions.device_configuration import ConfigurationSender
from cloud_functions.ingest.back_off import QueueBackOff
from cloud_functions.ingest.context import IngestContext
from cloud_functions.ingest.dead_letters import DeadLetters, NoDeadLetters, SqsDeadLetters
from cloud_functions.ingest.ingest import Ingest
from cloud_functions.ingest.publish import EventPublisher, NoPublisher, SnsPublisher
from cloud_functions.ingest.rate_limit import RateLimitedPublisher
from cloud_functions.observability import Metrics, NoMetrics, build_metrics, configure_logging, invocation_ids
from cloud_functions.plates.master_keys import MasterKeys, master_keys
from cloud_functions.privacy.camera_passwords import CameraPasswords
from cloud_functions.privacy.vault import PlateVault
from cloud_functions.settings import (
    DatabaseSettings,
    Environment,
    GapSettings,
    IngestSettings,
    PlateSettings,
    warn_of_obsolete_variables,
)
from shared.clock import Clock, SystemClock


def build_ingest(
    environment: Mapping[str, str] | None = None,
    *,
    database: Database | None = None,
    publisher: EventPublisher | None = None,
    dead_letters: DeadLetters | None = None,
    commands: CommandPublisher | None = None,
    metrics: Metrics | None = None,
    clock: Clock | None = None,
) -> Ingest:
    """Build ingest from environment variables; arguments replace the default collaborators. Opens no connection."""
    env = Environment(environment)
    settings = IngestSettings.from_environment(env)
    aws = AwsClients()
    clock = clock or SystemClock()
    if commands is None:
        commands = IotCommandPublisher(aws=aws, endpoint_url=settings.iot_data_endpoint)
        if starts_ahead_of_requests(os.environ if environment is None else environment):
            commands.prepare()
    keys = _master_keys(env, aws)
    database = database or Database.from_settings(DatabaseSettings.from_environment(env), aws=aws)
    metrics = metrics or NoMetrics()
    context = IngestContext(
        database=database,
        publisher=_limited(publisher or _publisher(settings, aws), settings, database, metrics),
        dead_letters=dead_letters or _dead_letters(settings, aws),
        commands=commands,
        configurations=ConfigurationSender(
            publisher=commands, passwords=CameraPasswords(master_keys=keys), clock=clock
        ),
        settings=settings,
        gaps=GapSettings.from_environment(env),
        metrics=metrics,
        clock=clock,
        vault=PlateVault(master_keys=keys),
        back_off=QueueBackOff(queue_url=settings.queue_url, aws=aws) if settings.queue_url else None,
    )
    return Ingest(context)


def _master_keys(env: Environment, aws: AwsClients) -> MasterKeys | None:
    setting = PlateSettings.from_environment(env).master_key
    return None if setting is None else master_keys(setting, aws=aws)


def _publisher(settings: IngestSettings, aws: AwsClients) -> EventPublisher:
    return SnsPublisher(topic_arn=settings.topic_arn, aws=aws) if settings.topic_arn else NoPublisher()


def _limited(
    publisher: EventPublisher, settings: IngestSettings, database: Database, metrics: Metrics
) -> EventPublisher:
    if settings.fanout_events_per_s is None:
        return publisher
    return RateLimitedPublisher(
        publisher,
        transaction=database.transaction,
        metrics=metrics,
        per_s=settings.fanout_events_per_s,
        burst=settings.fanout_burst,
    )


def _dead_letters(settings: IngestSettings, aws: AwsClients) -> DeadLetters:
    url = settings.dead_letter_queue_url
    return SqsDeadLetters(queue_url=url, aws=aws) if url else NoDeadLetters()


@functools.cache
def _ingest() -> Ingest:
    """Build the ingest of this execution environment, on the first invocation or ahead of it."""
    configure_logging(service="ingest", variables=os.environ)
    warn_of_obsolete_variables()
    ingest = build_ingest(metrics=build_metrics(service="ingest", variables=os.environ))
    gc.freeze()  # exclude loaded modules from garbage collection, which took a third of each batch
    return ingest


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Handle one Lambda invocation."""
    invocation_ids().begin(context)
    return _ingest().handle(event)


if starts_ahead_of_requests(os.environ):
    _ingest()
