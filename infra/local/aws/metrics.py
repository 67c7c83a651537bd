"""The metrics of the one-machine stack, collected from its processes, queues and database at a scrape.

The functions and the API write their counts to files (``METRICS_DIR``); everything else is read when it is asked for.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from infra.local.aws.resources import QUEUES
from infra.local.processes.process import PidFile
from shared.errors import VedetteError
from shared.metrics.exposition import Sample, render
from shared.metrics.process import process_samples, process_usage
from shared.metrics.sample_file import read_sample_files
from shared.metrics.table import STACK, by_name

log = logging.getLogger(__name__)

_TABLE: Final = by_name(STACK)
_TIMEOUT_S: Final = 3
_WAITING: Final = "SELECT queue, count(*), min(sent_at_ms) FROM message GROUP BY queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackMetrics:
    """Collects the metrics; each scrape opens its own connections, so that it holds none between scrapes."""

    files: Path
    """The folder with the samples of the processes."""
    queues: Path
    """The file of the queues."""
    pid_files: Callable[[], Mapping[str, PidFile]]
    """Of the parts and the functions, by name."""
    database_url: str
    started_at_s: float = field(default_factory=time.time)

    def text(self) -> str:
        """Return all metrics in the Prometheus text format."""
        return render(_TABLE, self._samples())

    def _samples(self) -> Iterator[Sample]:
        yield from process_samples(self.started_at_s, threading.active_count())
        for name, pid_file in self.pid_files().items():
            yield from _part_samples(name, pid_file)
        yield from read_sample_files(self.files, _TABLE)
        yield from self._queue_samples()
        try:
            yield from self._database_samples()
        except VedetteError as error:
            log.debug("the database does not answer a scrape: %s", error)
            yield Sample("vedette_database_up", 0)

    def _queue_samples(self) -> Iterator[Sample]:
        try:
            uri = f"{self.queues.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=_TIMEOUT_S)) as database:
                waiting = {name: (count, first_ms) for name, count, first_ms in database.execute(_WAITING)}
        except sqlite3.Error as error:
            log.debug("the queues cannot be read: %s", error)
            return
        for queue in QUEUES:
            count, first_ms = waiting.get(queue, (0, None))
            age_s = 0.0 if first_ms is None else max(time.time() - first_ms / 1000, 0.0)
            yield Sample("vedette_queue_messages", count, {"queue": queue})
            yield Sample("vedette_queue_oldest_seconds", age_s, {"queue": queue})

    def _database_samples(self) -> Iterator[Sample]:
        from cloud_functions.db.connect import Database, connector
        from cloud_functions.db.devices.canaries import canary_ages
        from cloud_functions.db.metrics import read_metrics
        from cloud_functions.settings import DatabaseSettings

        settings = DatabaseSettings(url=self.database_url, connect_timeout_s=_TIMEOUT_S)
        database = Database(connect=connector(settings), statement_timeout_ms=_TIMEOUT_S * 1000)
        try:
            with database.transaction() as connection:
                found, canaries = read_metrics(connection), canary_ages(connection)
        finally:
            database.close()
        yield Sample("vedette_database_up", 1)
        yield Sample("vedette_database_size_bytes", found.size_bytes)
        yield Sample("vedette_event_partitions", found.partitions)
        yield Sample("vedette_devices", found.devices_online, {"state": "online"})
        yield Sample("vedette_devices", found.devices_offline, {"state": "offline"})
        for status, count in found.cameras.items():
            yield Sample("vedette_cameras", count, {"status": status})
        yield Sample("vedette_missing_events", found.missing_events)
        for canary in canaries:
            yield Sample("vedette_canary_age_seconds", canary.age_s, {"device": canary.device_id})
        yield Sample("vedette_webhook_pending", found.webhook_pending)
        yield Sample("vedette_webhook_pending_oldest_seconds", found.webhook_oldest_s)


def _part_samples(name: str, pid_file: PidFile) -> Iterator[Sample]:
    identity = pid_file.read()
    is_up = identity is not None and identity.alive
    labels = {"part": name}
    yield Sample("vedette_part_up", int(is_up), labels)
    usage = process_usage(identity.pid) if identity is not None and is_up else None
    if usage is not None:
        yield Sample("vedette_part_cpu_seconds_total", usage.cpu_s, labels)
        yield Sample("vedette_part_resident_memory_bytes", usage.resident_bytes, labels)
