"""Protected plates in the API: found by their tokens for everybody, opened for those who may read them.

Everything here runs inside a query on the workers, in its transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic_core import from_json

from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.security.plate_read_policy import NobodyReads, PlateReaders
from cloud_functions.db.events.filter import EventFilter
from cloud_functions.db.events.record import FlatEvent
from cloud_functions.db.plates.conversion import sites_to_convert
from cloud_functions.db.plates.queries import PlateFilter
from cloud_functions.db.plates.record import PlateEvent
from cloud_functions.db.plates.sealed_queries import reads_under_tokens, sealed_data, sealed_plates
from cloud_functions.db.types import Connection
from cloud_functions.plates.normal_form import legacy_normal_forms, with_normal_form
from cloud_functions.plates.site_key import is_token
from cloud_functions.privacy.sealing import token_in
from cloud_functions.privacy.vault import PlateVault
from shared.errors import ConfigurationError, PermanentError

logger = logging.getLogger(__name__)

MOST_OPENED: Final = 20_000
"""Distinct protected plates that one search by prefix or likeness may open; some 10 µs each."""


@dataclass(frozen=True, slots=True)
class OpenedPlate:
    """A protected plate as a search sees it."""

    token: str
    plate: str
    events: int


@dataclass(frozen=True, slots=True)
class PlateAccess:
    """The keys, and who may use them to read."""

    vault: PlateVault = field(default_factory=PlateVault)
    readers: PlateReaders = field(default_factory=NobodyReads)
    most_opened: int = MOST_OPENED

    def plate_filter(self, connection: Connection, wanted: PlateFilter) -> PlateFilter:
        """Return the filter with what the whole plate asked for is stored as where it is protected."""
        if wanted.plate is None or is_token(wanted.plate):
            return wanted
        tokens, event_ids = self.stored_as(connection, wanted.plate, wanted.site_id)
        return replace(wanted, tokens=tokens, event_ids=event_ids)

    def event_filter(self, connection: Connection, wanted: EventFilter) -> EventFilter:
        """Return the same for a filter of events."""
        if wanted.plate is None or is_token(wanted.plate):
            return wanted
        tokens, event_ids = self.stored_as(connection, wanted.plate, wanted.site_id)
        return replace(wanted, plate_tokens=tokens or None, plate_event_ids=event_ids or None)

    def stored_as(
        self, connection: Connection, plate: str, site_id: str | None = None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return what a plate (in normal form) may be stored as where it is protected: its tokens, and events of it.

        The events are those of sites whose reads have not all been converted to today's normal form: there a token may
        be that of other plates as well.
        """
        self.vault.refresh(connection)
        if not self.vault.has_keys:
            return (), ()
        waiting = sites_to_convert(connection)
        try:
            tokens = tuple(self.vault.tokens(plate, site_id=site_id, without=waiting))
            asked = [site for site in waiting if site_id in (None, site)]
            return tokens, tuple(self._unconverted(connection, plate, asked))
        except (ConfigurationError, PermanentError) as error:
            raise _locked(error) from error

    def _unconverted(self, connection: Connection, plate: str, sites: list[str]) -> list[str]:
        """Return the events at these sites whose plate, opened, is this one."""
        if not sites:
            return []
        forms = {plate, *legacy_normal_forms(plate)}
        tokens = [token for site in sites for form in forms for token in self.vault.tokens(form, site_id=site)]
        reads = reads_under_tokens(connection, tokens, limit=self.most_opened + 1)
        if len(reads) > self.most_opened:
            detail = "There are too many protected reads to look through before `vedette-plates renormalize` was run."
            raise Problem(422, "too-many-protected", detail)
        return [
            read.event_id
            for read in reads
            if (data := self._open(read.sealed, event_id=read.event_id, token=read.token)) is not None
            and _plate_of(data) == plate
        ]

    def site_token(self, connection: Connection, plate: str, site_id: str) -> str:
        """Return what a protected site stores a plate (in normal form) as; raise the 422 for a site that is none."""
        self.vault.refresh(connection)
        if not self.vault.protects(site_id):
            raise invalid_parameter("site_id", f"the plates of site {site_id} are not protected", location="body")
        try:
            return self.vault.key_of(site_id).token(plate)
        except (ConfigurationError, PermanentError) as error:
            raise _locked(error) from error

    def refuse_guessing(self, connection: Connection, site_id: str | None) -> None:
        """Raise the 403 where a search by prefix or likeness names a protected site; for who may not read."""
        if site_id is None:
            return
        self.vault.refresh(connection)
        if self.vault.protects(site_id):
            raise protected_problem("search plates of this site by prefix or likeness")

    def opened_plates(self, connection: Connection, wanted: PlateFilter) -> list[OpenedPlate]:
        """Return the protected plates with reads that meet ``wanted`` (plate and prefix apart), opened.

        Raises:
            Problem: there are too many.
        """
        self.vault.refresh(connection)
        if not self.vault.has_keys:
            return []
        conditions = replace(wanted, plate=None, prefix=None, tokens=())
        found = sealed_plates(connection, conditions, limit=self.most_opened + 1)
        if len(found) > self.most_opened:
            detail = "There are too many protected plates to search like this; ask for one site, camera or time."
            raise Problem(422, "too-many-protected", detail)
        opened: list[OpenedPlate] = []
        for one in found:
            data = self._open(one.sealed, event_id=one.event_id, token=one.token)
            if data is not None:
                opened.append(OpenedPlate(one.token, _plate_of(data), one.events))
        return opened

    def reads(self, connection: Connection, reads: Sequence[PlateEvent], *, may_read: bool) -> list[PlateEvent]:
        """Return the reads, opened where that is allowed and possible."""
        closed = {read.event_id: read for read in reads if read.plate_token is not None} if may_read else {}
        if not closed:
            return list(reads)
        sealed = self._sealed(connection, {key: read.captured_at for key, read in closed.items()})
        return [self._read(read, sealed.get(read.event_id)) for read in reads]

    def events(self, connection: Connection, events: Sequence[FlatEvent], *, may_read: bool) -> list[FlatEvent]:
        """Return the events, opened where that is allowed and possible."""
        if not may_read:
            return list(events)
        closed = {event.event_id: token for event in events if (token := _token(event)) is not None}
        if not closed:
            return list(events)
        sealed = self._sealed(connection, {one.event_id: one.timestamp for one in events if one.event_id in closed})
        opened = {key: self._open(data, event_id=key, token=closed[key]) for key, data in sealed.items()}
        return [replace(one, event_data_json=opened.get(one.event_id) or one.event_data_json) for one in events]

    def _sealed(self, connection: Connection, rows: Mapping[str, Any]) -> dict[str, bytes]:
        self.vault.refresh(connection)
        return sealed_data(connection, rows.items())

    def _read(self, read: PlateEvent, sealed: bytes | None) -> PlateEvent:
        if read.plate_token is None or sealed is None:
            return read
        opened = self._open(sealed, event_id=read.event_id, token=read.plate_token)
        if opened is None:
            return read
        data = from_json(opened)
        return read._replace(plate_text=data["anpr_result"]["license_plate"], plate_normalized_text=_plate_of(opened))

    def _open(self, sealed: bytes, *, event_id: str, token: str) -> str | None:
        """Return the event's data, or None where nobody can open it any more."""
        try:
            return self.vault.open(sealed, event_id=event_id, token=token)
        except PermanentError as error:
            logger.warning("%s", error)
            return None
        except ConfigurationError as error:
            raise _locked(error) from error


def protected_problem(what: str) -> Problem:
    """Return the 403 for somebody who may not read protected plates."""
    return Problem(403, "plates-protected", f"The plates of this site are protected: you may not {what}.")


def is_protected(event: FlatEvent) -> bool:
    """Return whether the event's plate is protected, and its picture therefore too."""
    return _token(event) is not None


def _plate_of(event_data_json: str) -> str:
    """Return the plate of opened data in today's normal form, whenever it was sealed."""
    data: dict[str, Any] = from_json(event_data_json)
    return (with_normal_form(data) or data)["plate_normalized"]


def _token(event: FlatEvent) -> str | None:
    return token_in(event.event_data_json) if event.event_type == "anpr" else None


def _locked(error: Exception) -> Problem:
    logger.warning("protected plates cannot be looked up: %s", error)
    detail = "The keys to protected plates are not to be had here; ask for a site_id that is not protected."
    return Problem(503, "plate-keys-away", detail)
