"""Stores a chunk of events, and decides how to try again when a transaction fails."""

from __future__ import annotations

import logging
from dataclasses import replace

from cloud_functions.db.connect import ConnectionLostError, Database
from cloud_functions.ingest.storage.chunk import EventChunk, Refusal
from cloud_functions.ingest.storage.device_sequences import DeviceActivity
from cloud_functions.ingest.storage.labels import SiteLabelLimit
from cloud_functions.ingest.storage.partitions import MonthlyPartitions, NoPartitionError
from cloud_functions.ingest.storage.transaction import ChunkResult, ChunkTransaction, StoreContext, StoreOptions
from cloud_functions.ingest.watchlist_matcher import WatchlistMatcher
from cloud_functions.privacy.vault import PlateVault
from cloud_functions.settings import GapSettings
from shared.clock import Clock
from shared.errors import PermanentError

log = logging.getLogger(__name__)


class EventStore:
    """Writes events, their sequence positions, and the last activity of their devices. Not thread-safe."""

    def __init__(
        self, *, database: Database, gaps: GapSettings, clock: Clock, vault: PlateVault, max_labels: int
    ) -> None:
        """``max_labels``: how many names of classes and zones a site may use in a month."""
        self._context = StoreContext(
            database=database,
            vault=vault,
            gaps=gaps,
            watchlists=WatchlistMatcher(clock=clock),
            partitions=MonthlyPartitions(database=database, clock=clock),
            labels=SiteLabelLimit(limit=max_labels),
            activity=DeviceActivity(clock=clock),
        )

    def store(self, chunk: EventChunk) -> ChunkResult:
        """Store the events that are not stored yet; return all that are stored now.

        If the database cannot store one of the events, the chunk is halved until that event is isolated and refused.

        Raises:
            TransientError, ConfigurationError: some events are not stored; try the whole chunk again later.
        """
        try:
            return self._store_in_two_parts(chunk)
        except PermanentError as error:
            chunk.validate_all()
            if len(chunk.events) <= 1:
                return ChunkResult(
                    refused=[Refusal(event.message, "not_storable", str(error)) for event in chunk.events]
                )
        middle = len(chunk.events) // 2
        first = self.store(chunk.subset(chunk.events[:middle], with_invalid_positions=True))
        return first.merged(self.store(chunk.subset(chunk.events[middle:], with_invalid_positions=False)))

    def _store_in_two_parts(self, chunk: EventChunk) -> ChunkResult:
        """Store the events whose labels are known, then those with new labels, which takes a lock."""
        first = self._store_on_any_connection(chunk, StoreOptions())
        if not first.new_labels:
            return first
        # If the first transaction stored anything, it recorded the sequence positions of the whole chunk.
        recorded = bool(first.events)
        rest = chunk.subset(first.new_labels, with_invalid_positions=not recorded)
        options = StoreOptions(admit_new_labels=True, positions_recorded=recorded)
        return first.merged(self._store_on_any_connection(rest, options))

    def _store_on_any_connection(self, chunk: EventChunk, options: StoreOptions) -> ChunkResult:
        """Store; if the connection is lost, repeat it once on a new one, because a redelivery would take minutes."""
        try:
            return self._store_with_partitions(chunk, options)
        except ConnectionLostError as error:
            log.warning("storing the events again on a new connection: %s", error)
        return self._store_with_partitions(chunk, options)

    def _store_with_partitions(self, chunk: EventChunk, options: StoreOptions) -> ChunkResult:
        """Store; if a month may need a partition, make it outside the transaction, then store again."""
        try:
            return ChunkTransaction(chunk, options, self._context).run()
        except NoPartitionError:
            chunk.validate_all()
        without = self._context.partitions.ensure(event.row.timestamp for event in chunk.events)
        options = replace(options, months_without_partition=without)
        return ChunkTransaction(chunk, options, self._context).run()
