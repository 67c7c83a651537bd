"""A chunk of event messages, each validated once, group by group, while the database stores the groups before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from cloud_functions.ingest.sources.messages import Message
from cloud_functions.ingest.storage.device_sequences import SequencePosition, sequence_position
from cloud_functions.ingest.validation import ValidatedEvent, validate_event
from shared.errors import ContractError

GROUP_SIZE: Final = 64
"""Events validated, sealed and sent together: the number of rows that ``insert_events`` writes to COPY at a time."""


class Refusal(NamedTuple):
    """A message that must not be stored, with the reason and detail of its dead letter."""

    message: Message
    reason: str
    detail: str


class EventChunk:
    """The messages that one transaction stores, and the result of validating them.

    Every attempt to store the chunk reads it from the start with ``group``. A message is validated when the first
    attempt reaches it, so validation overlaps with COPY; later attempts find the events in ``events``.
    """

    def __init__(self, messages: Sequence[Message], *, latest: datetime) -> None:
        """``latest``: the latest acceptable capture time."""
        self.size = len(messages)
        self.events: list[ValidatedEvent] = []
        self.invalid: list[Refusal] = []
        """Messages that break the contract."""
        self.invalid_positions: list[SequencePosition] = []
        """Sequence positions of invalid messages, where they could be read."""
        self._latest = latest
        self._unread: Iterator[Message] = iter(messages)

    def subset(self, events: Sequence[ValidatedEvent], *, with_invalid_positions: bool) -> EventChunk:
        """Return a chunk of some of the validated events, with or without the positions of the invalid messages."""
        chunk = EventChunk((), latest=self._latest)
        chunk.size = len(events)
        chunk.events = list(events)
        if with_invalid_positions:
            chunk.invalid_positions = list(self.invalid_positions)
        return chunk

    def group(self, start: int) -> list[ValidatedEvent]:
        """Return up to ``GROUP_SIZE`` events from index ``start`` on; an empty list at the end of the chunk."""
        end = start + GROUP_SIZE
        while (missing := end - len(self.events)) > 0 and (messages := list(islice(self._unread, missing))):
            self._validate(messages)
        return self.events[start:end]

    def validate_all(self) -> None:
        """Validate the messages that no attempt has reached."""
        self._validate(self._unread)

    def _validate(self, messages: Iterable[Message]) -> None:
        latest, events = self._latest, self.events
        for message in messages:
            try:
                events.append(validate_event(message, latest=latest))
            except ContractError as error:
                self.invalid.append(Refusal(message, error.reason, str(error)))
                position = sequence_position(message)
                if position is not None:
                    self.invalid_positions.append(position)
