"""The one path through ingest: parse, store and commit, then publish, keep the rejected, and ask for what is missing.

What cannot be dealt with now is returned to the event source and comes again; everything here may be done twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Any, NamedTuple

from cloud_functions.db.connect import Database
from cloud_functions.db.devices.gaps import claim_due_gaps
from cloud_functions.device_commands import CommandPublisher, request_resends
from cloud_functions.ingest.dead_letters import DeadLetters
from cloud_functions.ingest.device_messages import DEVICE_MESSAGE_KINDS, Limits, record_device_message
from cloud_functions.ingest.publish import EventPublisher, Publication, match_publications, publications
from cloud_functions.ingest.seal import seal_rejections
from cloud_functions.ingest.sources.messages import Invocation, Message, Rejection, read_invocation
from cloud_functions.ingest.store import ChunkResult, EventStore
from cloud_functions.ingest.validation import (
    Arriving,
    SequencePosition,
    ValidatedEvent,
    sequence_position,
    validate_event,
)
from cloud_functions.observability import Metrics
from cloud_functions.privacy.vault import PlateVault
from cloud_functions.settings import GapSettings, IngestSettings
from shared.clock import Clock
from shared.errors import ConfigurationError, ContractError, PermanentError, TransientError, VedetteError
from shared.topics import TopicAddress, parse_topic

log = logging.getLogger(__name__)


class BatchProgress:
    """What has become of an invocation's messages so far."""

    def __init__(self, rejections: Iterable[Rejection]) -> None:
        self.rejections = list(rejections)
        self.failed: set[str] = set()
        self.outcomes: list[ChunkResult] = []
        self.arrived: list[ValidatedEvent] = []
        self.publications: list[Publication] = []

    def reject(self, message: Message, reason: str, detail: str) -> None:
        self.rejections.append(Rejection(message.message_id, message.body, reason, detail, message.topic or ""))

    def fail_rejected(self) -> None:
        self.failed.update(rejection.message_id for rejection in self.rejections)

    def fail(self, messages: Iterable[Message]) -> None:
        self.failed.update(message.message_id for message in messages)


class BatchResult(NamedTuple):
    """What became of messages, by their ids; those in neither set are done."""

    failed: set[str]
    """To come again, rejected ones that could not be kept among them."""
    rejected: set[str]


class Ingest:
    """Takes invocations; its collaborators are given to it, so that a test or the one-machine stack gives others."""

    def __init__(
        self,
        *,
        database: Database,
        publisher: EventPublisher,
        dead_letters: DeadLetters,
        commands: CommandPublisher,
        settings: IngestSettings,
        gaps: GapSettings,
        metrics: Metrics,
        clock: Clock,
        vault: PlateVault,
    ) -> None:
        self._database = database
        self._vault = vault
        self._store = EventStore(
            database=database, gaps=gaps, clock=clock, vault=vault, most_labels=settings.max_labels_per_site
        )
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._commands = commands
        self._settings = settings
        self._gaps = gaps
        self._metrics = metrics
        self._clock = clock

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Deal with one invocation of Lambda and return the ``batchItemFailures``.

        Raises:
            TransientError: a source that takes back nothing in particular must send its messages again.
        """
        invocation = read_invocation(event, kafka_partial=self._settings.kafka_partial_responses)
        failed = self.process(invocation).failed
        if failed and not invocation.partial:
            raise TransientError("not everything could be dealt with now; send it again")
        return {"batchItemFailures": [{"itemIdentifier": invocation.identify(one)} for one in sorted(failed)]}

    def process(self, invocation: Invocation) -> BatchResult:
        """Deal with messages, whoever brings them."""
        progress = BatchProgress(invocation.rejections)
        reports: list[tuple[Message, TopicAddress]] = []
        events: list[Message] = []
        for message in invocation.messages:
            if message.topic is None or message.topic.split("/", 4)[3:4] == ["events"]:
                events.append(message)
            else:
                self._sort(message, message.topic, reports, progress)
        self._take_events(events, progress)
        self._publish(progress)
        silent = self._take_reports(reports, progress)
        self._keep_rejected(progress)
        self._ask_for_missing({*silent, *(device for outcome in progress.outcomes for device in outcome.due_devices)})
        self._count(progress)
        return BatchResult(progress.failed, {rejection.message_id for rejection in progress.rejections})

    def _sort(
        self, message: Message, topic: str, reports: list[tuple[Message, TopicAddress]], progress: BatchProgress
    ) -> None:
        try:
            address = parse_topic(topic)
        except ContractError as error:
            progress.reject(message, error.reason, str(error))
            return
        if address.kind in DEVICE_MESSAGE_KINDS:
            reports.append((message, address))
        else:
            progress.reject(message, "bad_topic", f"ingest takes no {address.kind}")

    def _take_events(self, messages: Sequence[Message], progress: BatchProgress) -> None:
        """Store chunk by chunk, each in a transaction of its own and parsed while it is being stored."""
        chunks = _even_chunks(messages, self._settings.chunk_size) if messages else []
        for number, chunk in enumerate(chunks, start=1):
            if not self._take_chunk(chunk, progress):
                progress.fail(message for unread in chunks[number:] for message in unread)
                return

    def _take_chunk(self, chunk: Sequence[Message], progress: BatchProgress) -> bool:
        """Store a chunk; return whether the database is there for the next one."""
        arriving = Arriving(self._parse(chunk, progress), at_most=len(chunk))
        try:
            outcome = self._store.store(arriving)
        except (TransientError, ConfigurationError) as error:
            log.warning("events wait for the database: %s", error)
            arriving.rest()  # what is to be rejected is rejected all the same
            progress.fail(event.message for event in arriving.events)
            return False
        for message, reason, detail in outcome.refused:
            progress.reject(message, reason, detail)
        progress.fail(outcome.waiting)
        progress.arrived += arriving.events
        events = outcome.stored()
        progress.publications += publications(events)
        progress.publications += match_publications(events, outcome.matches)
        progress.outcomes.append(outcome)
        return True

    def _parse(
        self, messages: Iterable[Message], progress: BatchProgress
    ) -> Iterator[ValidatedEvent | SequencePosition]:
        latest = self._latest()
        for message in messages:
            try:
                yield validate_event(message, latest=latest)
            except ContractError as error:
                progress.reject(message, error.reason, str(error))
                place = sequence_position(message)
                if place is not None:
                    yield place

    def _latest(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._settings.max_future_s)

    def _publish(self, progress: BatchProgress) -> None:
        if not progress.publications:
            return
        untold = self._publisher.publish(progress.publications)
        if untold:
            progress.fail(event.message for event in progress.arrived if event.row.event_id in untold)

    def _take_reports(self, reports: Sequence[tuple[Message, TopicAddress]], progress: BatchProgress) -> set[str]:
        """Record each report in a transaction of its own; return the devices that were heard."""
        heard: set[str] = set()
        limits = Limits(self._gaps, self._clock.now(), self._latest())
        for number, (message, address) in enumerate(reports):
            try:
                with self._database.transaction() as connection:
                    record_device_message(connection, message, address, limits)
                heard.add(address.device_id)
            except ContractError as error:
                progress.reject(message, error.reason, str(error))
            except PermanentError as error:
                progress.reject(message, "not_storable", str(error))
            except (TransientError, ConfigurationError) as error:
                log.warning("%d reports wait for the database: %s", len(reports) - number, error)
                progress.fail(message for message, _ in reports[number:])
                break
        return heard

    def _keep_rejected(self, progress: BatchProgress) -> None:
        for rejection in progress.rejections:
            log.warning("rejected (%s): %s", rejection.reason, rejection.detail)
        if progress.rejections:
            letters = self._sealed(progress)
            progress.failed |= self._dead_letters.send(letters) if letters else set()

    def _sealed(self, progress: BatchProgress) -> Sequence[Rejection]:
        """Return the rejected messages as they may be kept; where that is not known now, they come again."""
        if not self._vault.can_seal:
            return progress.rejections
        try:
            with self._database.transaction() as connection:
                self._vault.refresh(connection)
        except VedetteError as error:
            log.warning("rejected messages wait for the database: %s", error)
            progress.fail_rejected()
            return ()
        letters, failed = seal_rejections(progress.rejections, self._vault)
        progress.failed |= failed
        return letters

    def _ask_for_missing(self, devices: Iterable[str]) -> None:
        wanted = sorted(devices)
        if not wanted:
            return
        try:
            with self._database.transaction() as connection:
                resends = claim_due_gaps(connection, wanted, self._gaps)
        except VedetteError as error:
            log.warning("gaps are not asked for now: %s", error)
            return
        self._metrics.count("ResendsRequested", request_resends(self._commands, resends, clock=self._clock))

    def _count(self, progress: BatchProgress) -> None:
        self._metrics.count("EventsStored", sum(len(outcome.new) for outcome in progress.outcomes))
        self._metrics.count("EventsRepeated", sum(len(outcome.known) for outcome in progress.outcomes))
        self._metrics.count("PlateMatches", sum(len(outcome.matches) for outcome in progress.outcomes))
        self._metrics.count("MessagesRejected", len(progress.rejections))
        self._metrics.count("MessagesReturned", len(progress.failed))
        self._metrics.flush()


def _even_chunks(messages: Sequence[Message], most: int) -> list[Sequence[Message]]:
    """Cut into as few chunks of at most ``most`` as it takes, all of nearly the same size."""
    size = ceil(len(messages) / ceil(len(messages) / most))
    return [messages[start : start + size] for start in range(0, len(messages), size)]
