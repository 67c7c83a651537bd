"""The collaborators of maintenance tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cloud_functions.db.connect import Database
from cloud_functions.device_commands import CommandPublisher
from cloud_functions.maintenance.event_queue import EventQueue
from cloud_functions.settings import GapSettings, MaintenanceSettings
from cloud_functions.snapshot_store import SnapshotStore
from shared.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceContext:
    """The collaborators of every task."""

    database: Database
    commands: CommandPublisher
    settings: MaintenanceSettings
    gaps: GapSettings
    clock: Clock
    events: EventQueue | None = None
    """The ingest queue; with None, events about silent devices are not sent."""
    fanout_queues: Mapping[str, EventQueue] = field(default_factory=dict[str, EventQueue])
    """The queues of fan-out targets, by target; replays to others fail."""
    snapshots: SnapshotStore | None = None
    """The bucket of snapshots; with None, snapshots are not deleted."""
    sleep: Callable[[float], None] = time.sleep
