"""The collaborators of ingest, made once for each process by ``handler.build_ingest``."""

from __future__ import annotations

from dataclasses import dataclass

from cloud_functions.db.connect import Database
from cloud_functions.device_commands import CommandPublisher
from cloud_functions.device_configuration import ConfigurationSender
from cloud_functions.ingest.back_off import QueueBackOff
from cloud_functions.ingest.dead_letters import DeadLetters
from cloud_functions.ingest.publish import EventPublisher
from cloud_functions.observability import Metrics
from cloud_functions.privacy.vault import PlateVault
from cloud_functions.settings import GapSettings, IngestSettings
from shared.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestContext:
    """The collaborators of ``Ingest``. Tests pass other implementations."""

    database: Database
    publisher: EventPublisher
    dead_letters: DeadLetters
    commands: CommandPublisher
    configurations: ConfigurationSender
    settings: IngestSettings
    gaps: GapSettings
    metrics: Metrics
    clock: Clock
    vault: PlateVault
    back_off: QueueBackOff | None = None
    """Sets when returned messages are delivered again; None leaves that to the event source."""
