"""Stores a chunk of events in one transaction, and shields the others from one that the database cannot hold."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any, Final, NamedTuple

from cloud_functions.db.connect import ConnectionLostError, Database
from cloud_functions.db.devices.sequences import MAX_SEQUENCE, OutboxKey, ReceivedSequences, record_sequences, to_ranges
from cloud_functions.db.devices.status import touch_devices
from cloud_functions.db.events.identity import delete_repeated_events, record_unusual_times
from cloud_functions.db.events.insert import EventRow, insert_events, stored_events
from cloud_functions.db.events.json_size import short_numbers
from cloud_functions.db.events.record import FlatEvent, flat_event_json
from cloud_functions.db.types import Connection
from cloud_functions.ingest.labels import Label, SiteLabelLimit, SiteMonth
from cloud_functions.ingest.partitions import MonthlyPartitions, NoPartitionError
from cloud_functions.ingest.seal import PlateSealer
from cloud_functions.ingest.sources.messages import Message
from cloud_functions.ingest.superseded import delete_superseded
from cloud_functions.ingest.validation import Arriving, SequencePosition, ValidatedEvent, with_stored_content
from cloud_functions.ingest.watchlist_matcher import WatchlistMatcher
from cloud_functions.privacy.vault import PlateVault
from cloud_functions.settings import GapSettings
from shared.clock import Clock, format_utc
from shared.errors import PermanentError

log = logging.getLogger(__name__)

_TOUCH_EVERY_S: Final = 5.0


class EventDocument(NamedTuple):
    """An event that is in the database, with the document that subscribers get."""

    arrived: ValidatedEvent
    document: str


class ChunkResult(NamedTuple):
    """What became of a chunk: its events by ``event_id``, each once however many messages brought it."""

    events: Mapping[str, ValidatedEvent]
    new: Mapping[str, tuple[int, datetime]]
    """Of those stored now, ``id`` and ``created_at``."""
    known: Mapping[str, FlatEvent]
    """Those that were stored before."""
    refused: Sequence[tuple[Message, str, str]]
    """Messages with reason and detail."""
    due_devices: Sequence[str]
    """Devices with gaps that it is time to ask for."""
    matches: Mapping[str, list[dict[str, Any]]]
    """What watch-lists have to say, by ``event_id``."""
    waiting: Sequence[Message] = ()
    """Messages that are not stored, to come again: their plates could not be protected now."""
    unlabelled: Sequence[ValidatedEvent] = ()
    """Events that are not stored yet: they bring names of classes or zones that are new here."""

    def stored(self) -> list[EventDocument]:
        """Return everything that is stored now, as subscribers get it."""
        return [*_documents(self.events, self.new), *_known_documents(self.events, self.known)]

    def joined(self, other: ChunkResult) -> ChunkResult:
        """Return what became of two parts of a chunk, nothing of which is left to do."""
        return ChunkResult(
            {**self.events, **other.events},
            {**self.new, **other.new},
            {**self.known, **other.known},
            [*self.refused, *other.refused],
            [*self.due_devices, *other.due_devices],
            {**self.matches, **other.matches},
            [*self.waiting, *other.waiting],
        )


NOTHING: Final = ChunkResult({}, {}, {}, (), (), {})


class EventStore:
    """Writes events, their place in the sequence, and when devices were heard of."""

    def __init__(
        self, *, database: Database, gaps: GapSettings, clock: Clock, vault: PlateVault, most_labels: int
    ) -> None:
        """``most_labels``: names of classes and zones that a site may use in a month."""
        self._database = database
        self._vault = vault
        self._gaps = gaps
        self._clock = clock
        self._watch = WatchlistMatcher(clock=clock)
        self._months = MonthlyPartitions(database=database, clock=clock)
        self._labels = SiteLabelLimit(most=most_labels)
        self._touched: dict[tuple[str, str], float] = {}

    def store(self, arriving: Arriving) -> ChunkResult:
        """Store what is not stored yet; return everything that is stored now.

        Raises:
            TransientError, ConfigurationError: some of it was not stored; try the whole chunk again later.
        """
        try:
            outcome = self._store_on_any_connection(arriving)
            if not outcome.unlabelled:
                return outcome
            # Where the first part was stored, the places of all were noted with it.
            rejected = () if outcome.events else arriving.rejected
            rest = Arriving.of(outcome.unlabelled, rejected)
            second = self._store_on_any_connection(rest, admitting=True, noted=bool(outcome.events))
            return outcome.joined(second)
        except PermanentError as error:
            arriving.rest()
            events, rejected = arriving.events, arriving.rejected
            if len(events) <= 1:
                return NOTHING._replace(refused=[(event.message, "not_storable", str(error)) for event in events])
        middle = len(events) // 2
        first = self.store(Arriving.of(events[:middle], rejected))
        return first.joined(self.store(Arriving.of(events[middle:])))

    def _store_on_any_connection(
        self, arriving: Arriving, *, admitting: bool = False, noted: bool = False
    ) -> ChunkResult:
        """Store; where the connection is lost meanwhile, once more on another: what is returned waits for minutes."""
        try:
            return self._store_with_partitions(arriving, admitting=admitting, noted=noted)
        except ConnectionLostError as error:
            arriving.rest()
            log.warning("events are stored once more on another connection: %s", error)
        again = Arriving.of(arriving.events, arriving.rejected)
        return self._store_with_partitions(again, admitting=admitting, noted=noted)

    def _store_with_partitions(
        self, arriving: Arriving, *, admitting: bool = False, noted: bool = False
    ) -> ChunkResult:
        """Store; where a month may have no partition, take that back, make the partition, and store again.

        ``admitting``: these bring new names of classes or zones, as many of which are accepted as there may be.
        ``noted``: that they arrived, is known of their sequences already.
        """
        try:
            return self._store(arriving, (), admitting=admitting, noted=noted)
        except NoPartitionError:
            arriving.rest()
        tolerated = self._months.make(event.row.timestamp for event in arriving.events)
        return self._store(Arriving.of(arriving.events, arriving.rejected), tolerated, admitting=admitting, noted=noted)

    def _store(
        self, arriving: Arriving, without_partition: Collection[str], *, admitting: bool, noted: bool
    ) -> ChunkResult:
        """Store in one transaction; raise NoPartitionError where an event's month wants a partition first."""
        unlabelled: list[ValidatedEvent] = []
        events = iter(arriving) if admitting else self._labels.with_known(arriving, unlabelled)
        first = next(events, None)
        if first is None and (unlabelled or not arriving.rejected):
            return NOTHING._replace(unlabelled=unlabelled)  # what is rejected is not for the database
        names: dict[SiteMonth, set[Label]] = {}
        beyond: list[ValidatedEvent] = []
        once: dict[str, ValidatedEvent] = {}
        sealing = PlateSealer(self._vault)
        with self._database.transaction() as connection:
            if admitting and first is not None:
                accepted, beyond, names = self._labels.admit(connection, [first, *events])
                events = iter(accepted)
                first = next(events, None)
            self._vault.refresh(connection)
            self._months.load(connection)
            new: dict[str, tuple[int, datetime]] = {}
            if first is not None:
                rows = _rows_once(sealing.sealed(chain([first], events)), once)
                rows = self._months.checked(rows, without_partition)
                new = insert_events(connection, rows, at_most=arriving.at_most)
            known: dict[str, FlatEvent] = {}
            if len(new) < len(once):
                keys = {key: event.row.timestamp for key, event in once.items() if key not in new}
                known = stored_events(connection, keys)
            delete_superseded(
                connection,
                [
                    (e.row.event_id, e.row.device_id, e.row.timestamp, e.superseded)
                    for e in once.values()
                    if e.superseded
                ],
            )
            touched = self._touch(connection, once.values())
            # Those with new names did arrive: they are stored next, or come again from the queue.
            places = [*arriving.rejected, *_places(beyond), *_places(unlabelled)]
            due = [] if noted else record_sequences(connection, _arrivals(once.values(), places), self._gaps)
            repeats = _delete_repeated_events(connection, once, new)
            once.update({key: with_stored_content(once[key], event) for key, event in known.items()})
            plates = {key: event.license_plate for key, event in once.items() if event.license_plate}
            tokens = {key: event.plate_token for key, event in once.items() if event.plate_token}
            if plates:
                self._watch.refresh(connection)
        self._touched.update(touched)
        self._labels.remember(names)
        matches = {
            key: self._watch.told(found, once[key].private_plate)
            for key, found in self._watch.matches(plates, tokens).items()
        }
        refused = [
            (event.message, _TAKEN, repeats.get(event.row.event_id, _OF_ANOTHER))
            for event in arriving.events
            if event.row.event_id in repeats or _is_taken(event, once, known)
        ]
        refused += [(event.message, "too_many_labels", self._too_many(event)) for event in beyond]
        return ChunkResult(once, new, known, refused, due, matches, sealing.waiting, unlabelled)

    def _too_many(self, event: ValidatedEvent) -> str:
        return (
            f"site {event.row.site_id} would use more than {self._labels.most} names of classes and zones"
            f" in {event.row.timestamp[:7]} (MAX_LABELS_PER_SITE)"
        )

    def _touch(self, connection: Connection, events: Iterable[ValidatedEvent]) -> dict[tuple[str, str], float]:
        """Note that the devices were heard of, if that was last noted a while ago; return of which, and when."""
        sites = {(event.row.device_id, event.row.site_id) for event in events}
        now = self._clock.monotonic()
        stale = {pair for pair in sites if now - self._touched.get(pair, -_TOUCH_EVERY_S) >= _TOUCH_EVERY_S}
        if stale:
            touch_devices(connection, dict(sorted(stale)))
        return dict.fromkeys(stale, now)


def _rows_once(events: Iterable[ValidatedEvent], once: dict[str, ValidatedEvent]) -> Iterator[EventRow]:
    """Give out each event's row once, however many messages brought it; note in ``once`` which message's it is."""
    for event in events:
        if once.setdefault(event.row.event_id, event) is event:
            yield event.row


def _delete_repeated_events(
    connection: Connection, once: dict[str, ValidatedEvent], new: dict[str, tuple[int, datetime]]
) -> dict[str, str]:
    """Take back what was stored now though its event_id is stored with another time; return why, by event_id."""
    repeats = delete_repeated_events(connection, [once[key].row for key in new])
    for key in repeats:
        del once[key], new[key]
    record_unusual_times(connection, (once[key].row for key in new))
    return {key: f"this event_id is stored with another time, {format_utc(at)}" for key, at in repeats.items()}


_TAKEN: Final = "event_id_taken"
_OF_ANOTHER: Final = "another event has this event_id"


def _is_taken(event: ValidatedEvent, once: Mapping[str, ValidatedEvent], known: Mapping[str, FlatEvent]) -> bool:
    row = event.row
    first = once.get(row.event_id)
    if first is None:
        return False  # it waits
    if first.row.device_id == row.device_id and (
        row.timestamp in first.superseded or first.row.timestamp in event.superseded
    ):
        return False  # the same event, before and after its device's clock was set
    stored = known.get(row.event_id)
    return (
        (first.row.device_id, first.row.timestamp) != (row.device_id, row.timestamp)
        or (stored is not None and stored.device_id != row.device_id)
    )  # fmt: skip


def _documents(once: Mapping[str, ValidatedEvent], new: Mapping[str, tuple[int, datetime]]) -> Iterator[EventDocument]:
    told_at: datetime | None = None
    created_at = ""
    for event_id, (number, moment) in new.items():
        if moment is not told_at:  # one transaction, one time
            told_at, created_at = moment, format_utc(moment)
        arrived = once[event_id]
        row = arrived.row
        document = flat_event_json(
            id=number,
            event_id=event_id,
            event_type=row.event_type,
            camera_id=row.camera_id,
            site_id=row.site_id,
            device_id=row.device_id,
            timestamp=row.timestamp,
            frame_number=row.frame_number,
            snapshot_path=row.snapshot_path,
            event_data_json=row.event_data_json,
            created_at=created_at,
        )
        yield EventDocument(arrived, document)


def _known_documents(once: Mapping[str, ValidatedEvent], known: Mapping[str, FlatEvent]) -> Iterator[EventDocument]:
    for event_id, stored in known.items():
        arrived = once[event_id]
        if stored.device_id == arrived.row.device_id:
            if arrived.plate_token is not None:  # however it was stored before its site was protected
                stored = replace(stored, event_data_json=arrived.row.event_data_json)  # noqa: PLW2901
            yield EventDocument(
                arrived, replace(stored, event_data_json=short_numbers(stored.event_data_json)).to_json()
            )


def _places(events: Iterable[ValidatedEvent]) -> Iterator[SequencePosition]:
    """Return where events that are not stored stand in their sequence: they did arrive, and must not be asked for."""
    for event in events:
        row = event.row
        if event.message.topic is None or row.sequence is None or row.sequence_epoch is None:
            continue
        if 1 <= row.sequence <= MAX_SEQUENCE:
            yield SequencePosition(row.site_id, OutboxKey(row.device_id, row.sequence_epoch), row.sequence)


def _arrivals(
    events: Iterable[ValidatedEvent], rejected: Iterable[SequencePosition]
) -> dict[OutboxKey, ReceivedSequences]:
    sequences: dict[OutboxKey, list[int]] = {}
    sites: dict[OutboxKey, str] = {}
    for arrived in events:
        row = arrived.row
        if arrived.message.topic is None:
            continue  # not from MQTT, which alone loses what it acknowledged; and maybe not all that the device sends
        if row.sequence is not None and row.sequence_epoch is not None and 1 <= row.sequence <= MAX_SEQUENCE:
            outbox = OutboxKey(row.device_id, row.sequence_epoch)
            sequences.setdefault(outbox, []).append(row.sequence)
            sites[outbox] = row.site_id
    for place in rejected:
        sequences.setdefault(place.outbox, []).append(place.sequence)
        sites[place.outbox] = place.site_id
    return {outbox: ReceivedSequences(sites[outbox], to_ranges(numbers)) for outbox, numbers in sequences.items()}
