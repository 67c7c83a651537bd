"""The path of a batch through ingest: ``Ingest.process`` lists the steps in order (see docs/design/ingest.md).

A message that cannot be processed now returns to the event source, which delivers it again. Every step may be repeated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Any, NamedTuple

from cloud_functions.db.devices.gaps import claim_due_gaps
from cloud_functions.device_commands import request_resends
from cloud_functions.ingest.canaries import canary_publications
from cloud_functions.ingest.context import IngestContext
from cloud_functions.ingest.device_messages import DEVICE_MESSAGE_KINDS, MessageLimits, record_device_message
from cloud_functions.ingest.progress import BatchProgress, BatchResult
from cloud_functions.ingest.publish import match_publications, publications
from cloud_functions.ingest.seal import seal_rejections
from cloud_functions.ingest.sources.messages import Invocation, Message, Rejection, read_invocation
from cloud_functions.ingest.storage.chunk import EventChunk
from cloud_functions.ingest.storage.event_store import EventStore
from shared.errors import ConfigurationError, ContractError, PermanentError, TransientError, VedetteError
from shared.topics import TopicAddress, parse_topic

log = logging.getLogger(__name__)

DeviceMessage = tuple[Message, TopicAddress]


class RoutedMessages(NamedTuple):
    """The messages of a batch by the step that takes them."""

    events: list[Message]
    device_messages: list[DeviceMessage]


class Ingest:
    """Stores the messages of devices, publishes events, and requests missing events. Not thread-safe."""

    def __init__(self, context: IngestContext) -> None:
        self._context = context
        self._store = EventStore(
            database=context.database,
            gaps=context.gaps,
            clock=context.clock,
            vault=context.vault,
            max_labels=context.settings.max_labels_per_site,
        )

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Process one Lambda invocation and return its ``batchItemFailures``.

        Raises:
            ConfigurationError: the invocation comes from an unknown event source.
            TransientError: something failed, and the event source can only deliver the whole batch again.
        """
        invocation = read_invocation(event, kafka_partial=self._context.settings.kafka_partial_responses)
        failed = self.process(invocation).failed
        if failed and not invocation.partial:
            raise TransientError(f"{len(failed)} messages could not be processed now; deliver the batch again")
        if failed and self._context.back_off is not None:
            self._context.back_off.apply(event, failed)
        return {
            "batchItemFailures": [{"itemIdentifier": invocation.identify(message_id)} for message_id in sorted(failed)]
        }

    def process(self, invocation: Invocation) -> BatchResult:
        """Process the messages of any event source."""
        began_s = time.perf_counter()
        progress = BatchProgress(invocation.rejections)
        routed = self._route(invocation.messages, progress)
        self._store_events(routed.events, progress)
        self._publish_events(progress)
        self._record_device_messages(routed.device_messages, progress)
        self._publish_canaries(progress)
        self._dead_letter_rejected(progress)
        self._request_missing_events(progress)
        self._send_configurations(progress)
        self._context.metrics.record("BatchSeconds", time.perf_counter() - began_s)
        self._count(progress)
        return progress.result()

    def _route(self, messages: Iterable[Message], progress: BatchProgress) -> RoutedMessages:
        """Sort the messages by topic; reject those with a topic that ingest does not accept."""
        routed = RoutedMessages([], [])
        for message in messages:
            if message.topic is None or message.topic.split("/", 4)[3:4] == ["events"]:
                routed.events.append(message)
                continue
            try:
                address = parse_topic(message.topic)
            except ContractError as error:
                progress.reject(message, error.reason, str(error))
                continue
            if address.kind in DEVICE_MESSAGE_KINDS:
                routed.device_messages.append((message, address))
            else:
                progress.reject(message, "bad_topic", f"ingest does not accept messages of kind {address.kind!r}")
        return routed

    def _store_events(self, messages: Sequence[Message], progress: BatchProgress) -> None:
        """Store the events chunk by chunk, each chunk in its own transaction."""
        chunks = _even_chunks(messages, self._context.settings.chunk_size) if messages else []
        for number, chunk in enumerate(chunks, start=1):
            if not self._store_chunk(EventChunk(chunk, latest=self._latest()), progress):
                progress.fail(message for later in chunks[number:] for message in later)
                return

    def _store_chunk(self, chunk: EventChunk, progress: BatchProgress) -> bool:
        """Store a chunk; return False if the database is not available for the next one either."""
        try:
            result = self._store.store(chunk)
        except (TransientError, ConfigurationError) as error:
            log.warning("deferring events because the database is unavailable: %s", error)
            chunk.validate_all()  # invalid messages are rejected even so
            progress.fail(event.message for event in chunk.events)
            result = None
        for refusal in chunk.invalid:
            progress.reject(*refusal)
        if result is None:
            return False
        for refusal in result.refused:
            progress.reject(*refusal)
        progress.fail(result.deferred)
        progress.events += chunk.events
        documents = result.documents()
        above = self._context.settings.compress_above_bytes
        progress.publications += publications(documents, compress_above_bytes=above)
        progress.publications += match_publications(documents, result.matches, compress_above_bytes=above)
        progress.results.append(result)
        return True

    def _publish_events(self, progress: BatchProgress) -> None:
        """Publish the stored events; the messages of events that could not be published must be delivered again."""
        if not progress.publications:
            return
        unpublished = self._context.publisher.publish(progress.publications)
        if unpublished:
            progress.fail(event.message for event in progress.events if event.row.event_id in unpublished)

    def _record_device_messages(self, messages: Sequence[DeviceMessage], progress: BatchProgress) -> None:
        """Record heartbeats, statuses and replies, each in its own transaction."""
        context = self._context
        limits = MessageLimits(context.gaps, context.clock.now(), self._latest())
        for number, (message, address) in enumerate(messages):
            try:
                with context.database.transaction() as connection:
                    recorded = record_device_message(connection, message, address, limits)
                progress.active_devices.add(address.device_id)
                if recorded.is_behind:
                    progress.devices_to_configure.add(address.device_id)
                if recorded.new_canary is not None:
                    progress.canaries.append(recorded.new_canary)
            except ContractError as error:
                progress.reject(message, error.reason, str(error))
            except PermanentError as error:
                progress.reject(message, "not_storable", str(error))
            except (TransientError, ConfigurationError) as error:
                count = len(messages) - number
                log.warning("deferring %d device messages because the database is unavailable: %s", count, error)
                progress.fail(message for message, _ in messages[number:])
                break

    def _publish_canaries(self, progress: BatchProgress) -> None:
        """Publish new canaries, as events are. One that fails is not repeated: its missing receipt shows that."""
        if progress.canaries and self._context.publisher.publish(canary_publications(progress.canaries)):
            log.warning("canaries could not be published")

    def _dead_letter_rejected(self, progress: BatchProgress) -> None:
        """Send rejected messages to the dead letters; those that could not be sent must be delivered again."""
        for rejection in progress.rejections:
            log.warning("rejected (%s): %s", rejection.reason, rejection.detail)
        if progress.rejections:
            dead_letters = self._sealed_rejections(progress)
            progress.failed |= self._context.dead_letters.send(dead_letters) if dead_letters else set()

    def _sealed_rejections(self, progress: BatchProgress) -> Sequence[Rejection]:
        """Return the dead letters, with the plates of protected sites sealed."""
        vault = self._context.vault
        if not vault.can_seal:
            return progress.rejections
        try:
            with self._context.database.transaction() as connection:
                vault.refresh(connection)
        except VedetteError as error:
            log.warning("deferring rejected messages because the protected sites cannot be read: %s", error)
            progress.failed.update(rejection.message_id for rejection in progress.rejections)
            return ()
        dead_letters, failed = seal_rejections(progress.rejections, vault)
        progress.failed |= failed
        return dead_letters

    def _request_missing_events(self, progress: BatchProgress) -> None:
        """Request the events of due gaps from the devices that were just active."""
        devices = sorted(progress.devices_to_query())
        if not devices:
            return
        context = self._context
        try:
            with context.database.transaction() as connection:
                resends = claim_due_gaps(connection, devices, context.gaps)
        except VedetteError as error:
            log.warning("deferring the requests for missing events: %s", error)
            return
        context.metrics.count("ResendsRequested", request_resends(context.commands, resends, clock=context.clock))

    def _send_configurations(self, progress: BatchProgress) -> None:
        """Send their configuration to the devices that just reported another one."""
        if not progress.devices_to_configure:
            return
        context = self._context
        try:
            sent = context.configurations.send(context.database.transaction, progress.devices_to_configure)
        except VedetteError as error:
            log.warning("deferring the configurations of devices: %s", error)
            return
        context.metrics.count("ConfigurationsSent", sent)

    def _count(self, progress: BatchProgress) -> None:
        metrics = self._context.metrics
        metrics.count("EventsStored", sum(len(result.new) for result in progress.results))
        metrics.count("EventsRepeated", sum(len(result.known) for result in progress.results))
        metrics.count("PlateMatches", sum(len(result.matches) for result in progress.results))
        metrics.count("MessagesRejected", len(progress.rejections))
        metrics.count("MessagesReturned", len(progress.failed))
        metrics.flush()

    def _latest(self) -> datetime:
        """Return the latest acceptable capture time."""
        return self._context.clock.now() + timedelta(seconds=self._context.settings.max_future_s)


def _even_chunks(messages: Sequence[Message], most: int) -> list[Sequence[Message]]:
    """Split into the smallest possible number of chunks of at most ``most``, all of nearly the same size."""
    size = ceil(len(messages) / ceil(len(messages) / most))
    return [messages[start : start + size] for start in range(0, len(messages), size)]
