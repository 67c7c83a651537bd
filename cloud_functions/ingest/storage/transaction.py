"""One attempt to store a chunk: one database transaction, and everything that it collects on the way.

``ChunkTransaction.run`` is the sequence of steps; ``_rows`` is the path of each event through them into COPY.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cloud_functions.db.connect import Database
from cloud_functions.db.devices.sequences import record_sequences
from cloud_functions.db.events.identity import delete_repeated_events, record_unusual_times
from cloud_functions.db.events.insert import EventRow, insert_events, stored_events
from cloud_functions.db.events.record import FlatEvent
from cloud_functions.db.types import Connection
from cloud_functions.ingest.camera_snapshots import record_event_snapshots
from cloud_functions.ingest.seal import PlateSealer
from cloud_functions.ingest.sources.messages import Message
from cloud_functions.ingest.storage.chunk import EventChunk, Refusal
from cloud_functions.ingest.storage.device_sequences import DeviceActivity, event_positions, sequences_by_outbox
from cloud_functions.ingest.storage.documents import EventDocument, new_documents, repeated_documents
from cloud_functions.ingest.storage.labels import Label, SiteLabelLimit, SiteMonth
from cloud_functions.ingest.storage.partitions import Month, MonthlyPartitions
from cloud_functions.ingest.storage.superseded import delete_superseded
from cloud_functions.ingest.validation import ValidatedEvent, with_stored_content
from cloud_functions.ingest.watchlist_matcher import WatchlistMatcher
from cloud_functions.privacy.vault import PlateVault
from cloud_functions.settings import GapSettings
from shared.clock import format_utc

_EVENT_ID_TAKEN: Final = "event_id_taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreContext:
    """The collaborators of every transaction. Their caches outlive it; none of them is thread-safe."""

    database: Database
    vault: PlateVault
    gaps: GapSettings
    watchlists: WatchlistMatcher
    partitions: MonthlyPartitions
    labels: SiteLabelLimit
    activity: DeviceActivity


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """How an attempt differs from the first one."""

    admit_new_labels: bool = False
    """The events use labels that are new in their site's month: store those that the limit allows."""
    positions_recorded: bool = False
    """An earlier transaction has recorded the sequence positions of these events."""
    months_without_partition: Collection[Month] = ()
    """Months whose events go into the default partition."""


@dataclass(slots=True, kw_only=True)
class ChunkResult:
    """The result of storing a chunk."""

    events: dict[str, ValidatedEvent] = field(default_factory=dict)
    """Each stored event once, by ``event_id``, even if several messages carried it."""
    new: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    """``id`` and ``created_at`` of the events that were inserted now."""
    known: dict[str, FlatEvent] = field(default_factory=dict)
    """The events that were stored before."""
    matches: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Watch-list matches by ``event_id``."""
    refused: list[Refusal] = field(default_factory=list)
    deferred: list[Message] = field(default_factory=list)
    """Messages whose plates cannot be sealed now; the event source must deliver them again."""
    due_devices: list[str] = field(default_factory=list)
    """Devices with sequence gaps whose resend is due."""
    new_labels: list[ValidatedEvent] = field(default_factory=list)
    """Events that are not stored yet: their labels are not among the known ones (see ``labels``)."""

    def documents(self) -> list[EventDocument]:
        """Return the documents of all stored events."""
        return [*new_documents(self.events, self.new), *repeated_documents(self.events, self.known)]

    def merged(self, other: ChunkResult) -> ChunkResult:
        """Return the result of two parts of a chunk, after which no event with new labels is left."""
        return ChunkResult(
            events=self.events | other.events,
            new=self.new | other.new,
            known=self.known | other.known,
            matches=self.matches | other.matches,
            refused=self.refused + other.refused,
            deferred=self.deferred + other.deferred,
            due_devices=self.due_devices + other.due_devices,
        )


class ChunkTransaction:
    """Stores one chunk once; a new attempt takes a new object."""

    def __init__(self, chunk: EventChunk, options: StoreOptions, context: StoreContext) -> None:
        self._chunk = chunk
        self._options = options
        self._context = context
        self._unstored = chunk
        """The chunk, or the part of it that the label limit admits."""
        self._next_index = 0
        self._check_labels = not options.admit_new_labels
        self._sealer = PlateSealer(context.vault)
        self._events: dict[str, ValidatedEvent] = {}
        self._new_labels: list[ValidatedEvent] = []
        self._over_limit: list[ValidatedEvent] = []
        self._names: dict[SiteMonth, set[Label]] = {}

    def run(self) -> ChunkResult:
        """Store the chunk and commit.

        Raises:
            NoPartitionError: an event's month may need a partition first; nothing was stored.
            PermanentError: the database cannot store one of the events; nothing was stored.
            TransientError, ConfigurationError: nothing was stored.
        """
        context = self._context
        group = self._next_group()
        if not group and (self._new_labels or not self._chunk.invalid_positions):
            return ChunkResult(new_labels=self._new_labels)  # there is nothing to write to the database
        with context.database.transaction() as connection:
            if self._options.admit_new_labels:
                group = self._admit_new_labels(connection)
            context.vault.refresh(connection)
            context.partitions.load(connection)
            new = insert_events(connection, self._rows(group), at_most=self._chunk.size) if group else {}
            known = self._known(connection, new)
            self._delete_superseded(connection)
            recorded = context.activity.record(connection, self._events.values())
            due_devices = self._record_positions(connection)
            repeats = self._delete_repeated_events(connection, new)
            record_event_snapshots(connection, (self._events[event_id].row for event_id in new))
            for event_id, stored in known.items():
                self._events[event_id] = with_stored_content(self._events[event_id], stored)
            plates = {key: event.license_plate for key, event in self._events.items() if event.license_plate}
            if plates:
                context.watchlists.refresh(connection)
        context.activity.committed(recorded)
        context.labels.remember(self._names)
        return ChunkResult(
            events=self._events,
            new=new,
            known=known,
            matches=self._matches(plates),
            refused=[*self._refused_ids(known, repeats), *map(self._refused_labels, self._over_limit)],
            deferred=self._sealer.deferred,
            due_devices=due_devices,
            new_labels=self._new_labels,
        )

    def _rows(self, group: list[ValidatedEvent]) -> Iterator[EventRow]:
        """Yield the rows for COPY, group by group: while the database takes one, the next is being validated."""
        while group:
            sealed = self._sealer.seal(group)
            unique = self._first_of_each_id(sealed)
            self._context.partitions.check(unique, tolerated=self._options.months_without_partition)
            for event in unique:
                yield event.row
            group = self._next_group()

    def _next_group(self) -> list[ValidatedEvent]:
        """Validate the next messages; return their events without those that use new labels, empty at the end."""
        while group := self._unstored.group(self._next_index):
            self._next_index += len(group)
            if self._check_labels:
                group, new_labels = self._context.labels.split(group)
                self._new_labels += new_labels
            if group:
                return group
        return []

    def _admit_new_labels(self, connection: Connection) -> list[ValidatedEvent]:
        """Apply the label limit to all events of the chunk; return the first group of those that it admits."""
        accepted, self._over_limit, self._names = self._context.labels.admit(connection, self._chunk.events)
        self._unstored = self._chunk.subset(accepted, with_invalid_positions=False)
        self._next_index = 0
        return self._next_group()

    def _first_of_each_id(self, group: Sequence[ValidatedEvent]) -> list[ValidatedEvent]:
        events = self._events
        return [event for event in group if events.setdefault(event.row.event_id, event) is event]

    def _known(self, connection: Connection, new: Mapping[str, tuple[int, datetime]]) -> dict[str, FlatEvent]:
        """Return the events that were stored before."""
        if len(new) == len(self._events):
            return {}
        times = {key: event.row.timestamp for key, event in self._events.items() if key not in new}
        return stored_events(connection, times)

    def _delete_superseded(self, connection: Connection) -> None:
        delete_superseded(
            connection,
            [
                (event.row.event_id, event.row.device_id, event.row.timestamp, event.superseded)
                for event in self._events.values()
                if event.superseded
            ],
        )

    def _record_positions(self, connection: Connection) -> list[str]:
        """Record the sequence numbers of everything that arrived, stored or not; return devices with due gaps."""
        if self._options.positions_recorded:
            return []
        positions = [
            *event_positions(self._events.values()),
            *self._chunk.invalid_positions,
            *event_positions(self._over_limit),
            *event_positions(self._new_labels),
        ]
        return list(record_sequences(connection, sequences_by_outbox(positions), self._context.gaps))

    def _delete_repeated_events(self, connection: Connection, new: dict[str, tuple[int, datetime]]) -> dict[str, str]:
        """Delete inserted events whose id is stored with another time; return the details by ``event_id``."""
        repeats = delete_repeated_events(connection, [self._events[event_id].row for event_id in new])
        for event_id in repeats:
            del self._events[event_id], new[event_id]
        record_unusual_times(connection, (self._events[event_id].row for event_id in new))
        return {
            event_id: f"this event_id is stored with another time, {format_utc(time)}"
            for event_id, time in repeats.items()
        }

    def _matches(self, plates: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
        watchlists = self._context.watchlists
        tokens = {key: event.plate_token for key, event in self._events.items() if event.plate_token}
        return {
            event_id: watchlists.describe(matches, self._events[event_id].private_plate)
            for event_id, matches in watchlists.matches(plates, tokens).items()
        }

    def _refused_ids(self, known: Mapping[str, FlatEvent], repeats: Mapping[str, str]) -> Iterator[Refusal]:
        """Yield the messages whose event id belongs to another event."""
        for event in self._chunk.events:
            event_id = event.row.event_id
            if event_id in repeats:
                yield Refusal(event.message, _EVENT_ID_TAKEN, repeats[event_id])
            elif _is_taken(event, self._events.get(event_id), known.get(event_id)):
                yield Refusal(event.message, _EVENT_ID_TAKEN, "another event has this event_id")

    def _refused_labels(self, event: ValidatedEvent) -> Refusal:
        limit = self._context.labels.limit
        detail = (
            f"site {event.row.site_id} would use more than {limit} names of classes and zones"
            f" in {event.row.timestamp[:7]} (MAX_LABELS_PER_SITE)"
        )
        return Refusal(event.message, "too_many_labels", detail)


def _is_taken(event: ValidatedEvent, first: ValidatedEvent | None, stored: FlatEvent | None) -> bool:
    """Return whether the id of ``event`` belongs to another event: the chunk's first with it, or a stored one."""
    row = event.row
    if first is None:
        return False  # not stored yet
    if first.row.device_id == row.device_id and (
        row.timestamp in first.superseded or first.row.timestamp in event.superseded
    ):
        return False  # the same event, before and after its device's clock was corrected
    same = (first.row.device_id, first.row.timestamp) == (row.device_id, row.timestamp)
    return not same or (stored is not None and stored.device_id != row.device_id)
