"""Stores a chunk of events in one transaction, and shields the others from one that the database cannot hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any, Final, NamedTuple

import psycopg

from cloud_functions.db.connect import Database
from cloud_functions.db.devices import touch_devices
from cloud_functions.db.events import EventRow, insert_events, stored_events
from cloud_functions.db.flat_event import FlatEvent, flat_event_json
from cloud_functions.db.json_size import short_numbers
from cloud_functions.db.sequences import MAX_SEQUENCE, Arrivals, Outbox, record_arrivals, to_ranges
from cloud_functions.ingest.arrivals import ArrivedEvent, Arriving, PlaceInSequence
from cloud_functions.ingest.messages import Message
from cloud_functions.ingest.months import Months, NoPartitionError
from cloud_functions.ingest.protect import Sealing
from cloud_functions.ingest.superseded import forget_superseded
from cloud_functions.ingest.watch import WatchLists
from cloud_functions.plates.vault import PlateVault
from cloud_functions.settings import GapSettings
from shared.clock import Clock, format_utc
from shared.errors import PermanentError

Connection = psycopg.Connection[Any]
_TOUCH_EVERY_S: Final = 5.0


class StoredEvent(NamedTuple):
    """An event that is in the database, with the document that subscribers get."""

    arrived: ArrivedEvent
    document: str


class Outcome(NamedTuple):
    """What became of a chunk: its events by ``event_id``, each once however many messages brought it."""

    events: Mapping[str, ArrivedEvent]
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

    def stored(self) -> list[StoredEvent]:
        """Return everything that is stored now, as subscribers get it."""
        return [*_documents(self.events, self.new), *_known_documents(self.events, self.known)]


NOTHING: Final = Outcome({}, {}, {}, (), (), {})


class EventStore:
    """Writes events, their place in the sequence, and when devices were heard of."""

    def __init__(self, *, database: Database, gaps: GapSettings, clock: Clock, vault: PlateVault) -> None:
        self._database = database
        self._vault = vault
        self._gaps = gaps
        self._clock = clock
        self._watch = WatchLists(clock=clock)
        self._months = Months(database=database, clock=clock)
        self._touched: dict[tuple[str, str], float] = {}

    def store(self, arriving: Arriving) -> Outcome:
        """Store what is not stored yet; return everything that is stored now.

        Raises:
            TransientError, ConfigurationError: some of it was not stored; try the whole chunk again later.
        """
        try:
            return self._store_with_partitions(arriving)
        except PermanentError as error:
            arriving.rest()
            events, rejected = arriving.events, arriving.rejected
            if len(events) <= 1:
                return NOTHING._replace(refused=[(event.message, "not_storable", str(error)) for event in events])
        middle = len(events) // 2
        first = self.store(Arriving.of(events[:middle], rejected))
        second = self.store(Arriving.of(events[middle:]))
        return Outcome(
            {**first.events, **second.events},
            {**first.new, **second.new},
            {**first.known, **second.known},
            [*first.refused, *second.refused],
            [*first.due_devices, *second.due_devices],
            {**first.matches, **second.matches},
            [*first.waiting, *second.waiting],
        )

    def _store_with_partitions(self, arriving: Arriving) -> Outcome:
        """Store; where a month may have no partition, take that back, make the partition, and store again."""
        try:
            return self._store(arriving, ())
        except NoPartitionError:
            arriving.rest()
        tolerated = self._months.make(event.row.timestamp for event in arriving.events)
        return self._store(Arriving.of(arriving.events, arriving.rejected), tolerated)

    def _store(self, arriving: Arriving, without_partition: Collection[str]) -> Outcome:
        """Store in one transaction; raise NoPartitionError where an event's month wants a partition first."""
        events = iter(arriving)
        first = next(events, None)
        if first is None and not arriving.rejected:
            return NOTHING  # a chunk of poison is none of the database's business
        once: dict[str, ArrivedEvent] = {}
        sealing = Sealing(self._vault)
        with self._database.transaction() as connection:
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
            forget_superseded(
                connection,
                [
                    (e.row.event_id, e.row.device_id, e.row.timestamp, e.superseded)
                    for e in once.values()
                    if e.superseded
                ],
            )
            touched = self._touch(connection, once.values())
            due = record_arrivals(connection, _arrivals(once.values(), arriving.rejected), self._gaps)
            plates = {key: event.license_plate for key, event in once.items() if event.license_plate}
            tokens = {key: event.plate_token for key, event in once.items() if event.plate_token}
            if plates:
                self._watch.refresh(connection)
        self._touched.update(touched)
        matches = {
            key: self._watch.told(found, once[key].private_plate)
            for key, found in self._watch.matches(plates, tokens).items()
        }
        refused = [(event.message, *_TAKEN) for event in arriving.events if _is_taken(event, once, known)]
        return Outcome(once, new, known, refused, due, matches, sealing.waiting)

    def _touch(self, connection: Connection, events: Iterable[ArrivedEvent]) -> dict[tuple[str, str], float]:
        """Note that the devices were heard of, if that was last noted a while ago; return of which, and when."""
        sites = {(event.row.device_id, event.row.site_id) for event in events}
        now = self._clock.monotonic()
        stale = {pair for pair in sites if now - self._touched.get(pair, -_TOUCH_EVERY_S) >= _TOUCH_EVERY_S}
        if stale:
            touch_devices(connection, dict(sorted(stale)))
        return dict.fromkeys(stale, now)


def _rows_once(events: Iterable[ArrivedEvent], once: dict[str, ArrivedEvent]) -> Iterator[EventRow]:
    """Give out each event's row once, however many messages brought it; note in ``once`` which message's it is."""
    for event in events:
        if once.setdefault(event.row.event_id, event) is event:
            yield event.row


_TAKEN: Final = ("event_id_taken", "another event has this event_id")


def _is_taken(event: ArrivedEvent, once: Mapping[str, ArrivedEvent], known: Mapping[str, FlatEvent]) -> bool:
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


def _documents(once: Mapping[str, ArrivedEvent], new: Mapping[str, tuple[int, datetime]]) -> Iterator[StoredEvent]:
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
        yield StoredEvent(arrived, document)


def _known_documents(once: Mapping[str, ArrivedEvent], known: Mapping[str, FlatEvent]) -> Iterator[StoredEvent]:
    for event_id, stored in known.items():
        arrived = once[event_id]
        if stored.device_id == arrived.row.device_id:
            if arrived.plate_token is not None:  # however it was stored before its site was protected
                stored = replace(stored, event_data_json=arrived.row.event_data_json)  # noqa: PLW2901
            yield StoredEvent(arrived, replace(stored, event_data_json=short_numbers(stored.event_data_json)).to_json())


def _arrivals(events: Iterable[ArrivedEvent], rejected: Iterable[PlaceInSequence]) -> dict[Outbox, Arrivals]:
    sequences: dict[Outbox, list[int]] = {}
    sites: dict[Outbox, str] = {}
    for arrived in events:
        row = arrived.row
        if arrived.message.topic is None:
            continue  # not from MQTT, which alone loses what it acknowledged; and maybe not all that the device sends
        if row.sequence is not None and row.sequence_epoch is not None and 1 <= row.sequence <= MAX_SEQUENCE:
            outbox = Outbox(row.device_id, row.sequence_epoch)
            sequences.setdefault(outbox, []).append(row.sequence)
            sites[outbox] = row.site_id
    for place in rejected:
        sequences.setdefault(place.outbox, []).append(place.sequence)
        sites[place.outbox] = place.site_id
    return {outbox: Arrivals(sites[outbox], to_ranges(numbers)) for outbox, numbers in sequences.items()}
