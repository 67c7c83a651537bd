"""Protected plates in the API: every caller can search by token; callers who may read plates see them.

All methods run inside the transaction of a query on the thread pool.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic_core import from_json

from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.security.plate_read_policy import PlateReadPolicy
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
from shared.plates import normalize_plate

logger = logging.getLogger(__name__)


MAX_OPENED_PLATES: Final = 20_000
"""Maximum number of distinct plates that one prefix or similarity search decrypts, at about 10 µs each."""


@dataclass(frozen=True, slots=True)
class OpenedPlate:
    """A decrypted plate, its token and its number of events."""

    token: str
    plate: str
    events: int


@dataclass(frozen=True, slots=True)
class PlateAccess:
    """The keys of protected plates and the policy for reading them."""

    vault: PlateVault = field(default_factory=PlateVault)
    read_policy: PlateReadPolicy = field(default_factory=PlateReadPolicy.deny_all)
    max_opened: int = MAX_OPENED_PLATES

    def plate_filter(self, connection: Connection, plate_filter: PlateFilter) -> PlateFilter:
        """Return the filter, extended by the stored forms of its plate at protected sites."""
        if plate_filter.plate is None or is_token(plate_filter.plate):
            return plate_filter
        tokens, event_ids = self.stored_as(connection, plate_filter.plate, plate_filter.site_id)
        return replace(plate_filter, tokens=tokens, event_ids=event_ids)

    def event_filter(self, connection: Connection, event_filter: EventFilter) -> EventFilter:
        """Return the filter, extended by the stored forms of its plate at protected sites."""
        if event_filter.plate is None or is_token(event_filter.plate):
            return event_filter
        tokens, event_ids = self.stored_as(connection, event_filter.plate, event_filter.site_id)
        return replace(event_filter, plate_tokens=tokens or None, plate_event_ids=event_ids or None)

    def search_record(self, connection: Connection, plate: str) -> dict[str, Any]:
        """Return how the audit log names a plate that was searched: by its tokens if a site protects its plates."""
        self.vault.refresh(connection)
        if is_token(plate):
            return {"plate_tokens": [plate]}
        text = normalize_plate(plate)
        if not self.vault.has_keys:
            return {"plate": text}
        try:
            return {"plate_tokens": self.vault.tokens(text)}
        except (ConfigurationError, PermanentError) as error:
            logger.warning("a searched plate cannot be recorded: %s", error)
            return {"plate_tokens": []}

    def stored_as(
        self, connection: Connection, plate: str, site_id: str | None = None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return how protected sites store a plate (in normal form): its tokens, and the ids of its events.

        Event ids are returned for sites whose reads have not all been converted to the current normal form. At these
        sites several plates can share a token.
        """
        self.vault.refresh(connection)
        if not self.vault.has_keys:
            return (), ()
        unconverted = sites_to_convert(connection)
        try:
            tokens = tuple(self.vault.tokens(plate, site_id=site_id, without=unconverted))
            sites = [site for site in unconverted if site_id in (None, site)]
            return tokens, tuple(self._unconverted_events(connection, plate, sites))
        except (ConfigurationError, PermanentError) as error:
            raise _keys_unavailable(error) from error

    def _unconverted_events(self, connection: Connection, plate: str, sites: list[str]) -> list[str]:
        """Return the ids of events at these sites whose decrypted plate is ``plate``."""
        if not sites:
            return []
        forms = {plate, *legacy_normal_forms(plate)}
        tokens = [token for site in sites for form in forms for token in self.vault.tokens(form, site_id=site)]
        reads = reads_under_tokens(connection, tokens, limit=self.max_opened + 1)
        if len(reads) > self.max_opened:
            detail = (
                "Too many protected reads would have to be decrypted. Run `vedette-plates renormalize`, then retry."
            )
            raise Problem(422, "too-many-protected", detail)
        return [
            read.event_id
            for read in reads
            if (data := self._open(read.sealed, event_id=read.event_id, token=read.token)) is not None
            and _plate_of(data) == plate
        ]

    def site_token(self, connection: Connection, plate: str, site_id: str) -> str:
        """Return the token of a plate (in normal form) at a site; raise the 422 Problem for an unprotected site."""
        self.vault.refresh(connection)
        if not self.vault.protects(site_id):
            raise invalid_parameter("site_id", f"the plates of site {site_id} are not protected", location="body")
        try:
            return self.vault.key_of(site_id).token(plate)
        except (ConfigurationError, PermanentError) as error:
            raise _keys_unavailable(error) from error

    def reject_inexact_search(self, connection: Connection, site_id: str | None) -> None:
        """Raise the 403 Problem if ``site_id`` is protected: a caller may not search it by prefix or similarity."""
        if site_id is None:
            return
        self.vault.refresh(connection)
        if self.vault.protects(site_id):
            raise protected_problem("search them by prefix or similarity")

    def opened_plates(self, connection: Connection, plate_filter: PlateFilter) -> list[OpenedPlate]:
        """Return the decrypted protected plates with reads that meet ``plate_filter``, except its plate and prefix.

        Raises:
            Problem: 422, more than ``max_opened`` plates meet the filter.
        """
        self.vault.refresh(connection)
        if not self.vault.has_keys:
            return []
        conditions = replace(plate_filter, plate=None, prefix=None, tokens=())
        sealed = sealed_plates(connection, conditions, limit=self.max_opened + 1)
        if len(sealed) > self.max_opened:
            detail = "The search covers too many protected plates. Limit it to one site, camera or time range."
            raise Problem(422, "too-many-protected", detail)
        opened: list[OpenedPlate] = []
        for plate in sealed:
            data = self._open(plate.sealed, event_id=plate.event_id, token=plate.token)
            if data is not None:
                opened.append(OpenedPlate(plate.token, _plate_of(data), plate.events))
        return opened

    def reads(self, connection: Connection, reads: Sequence[PlateEvent], *, may_read: bool) -> list[PlateEvent]:
        """Return the reads, with protected plates decrypted if ``may_read`` and if their keys exist."""
        closed = {read.event_id: read for read in reads if read.plate_token is not None} if may_read else {}
        if not closed:
            return list(reads)
        sealed = self._sealed(connection, {key: read.captured_at for key, read in closed.items()})
        return [self._read(read, sealed.get(read.event_id)) for read in reads]

    def events(self, connection: Connection, events: Sequence[FlatEvent], *, may_read: bool) -> list[FlatEvent]:
        """Return the events, with protected plates decrypted if ``may_read`` and if their keys exist."""
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
        """Return the decrypted event data, or None if its key was destroyed or the data was altered."""
        try:
            return self.vault.open(sealed, event_id=event_id, token=token)
        except PermanentError as error:
            logger.warning("%s", error)
            return None
        except ConfigurationError as error:
            raise _keys_unavailable(error) from error


def protected_problem(action: str) -> Problem:
    """Return the 403 Problem for a caller who may not read protected plates."""
    return Problem(403, "plates-protected", f"The plates of this site are protected. You may not {action}.")


def is_protected(event: FlatEvent) -> bool:
    """Return whether the plate of the event is protected. Its snapshot is then protected too."""
    return _token(event) is not None


def _plate_of(event_data_json: str) -> str:
    """Return the plate of decrypted event data in the current normal form."""
    data: dict[str, Any] = from_json(event_data_json)
    return (with_normal_form(data) or data)["plate_normalized"]


def _token(event: FlatEvent) -> str | None:
    return token_in(event.event_data_json) if event.event_type == "anpr" else None


def _keys_unavailable(error: Exception) -> Problem:
    logger.warning("keys of protected plates are unavailable: %s", error)
    detail = "The keys of protected plates are unavailable. Limit the request to a site_id that is not protected."
    return Problem(503, "plate-keys-away", detail)
