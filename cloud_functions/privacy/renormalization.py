"""``vedette-plates renormalize``: converts all stored reads, protected ones too, to the current normal form."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from pydantic_core import from_json, to_json

from cloud_functions.db.connect import Database
from cloud_functions.db.plates.conversion import (
    FullEventRow,
    next_protected_reads,
    purge_unread_plates,
    replace_events,
    restart_conversion,
    save_site_progress,
    sites_to_convert,
)
from cloud_functions.db.plates.normal_form_conversion import (
    convert_unprotected_reads,
    limit_transaction,
    record_unmatched_patterns,
    retry_while_busy,
)
from cloud_functions.db.types import Connection, Transaction
from cloud_functions.plates.normal_form import with_normal_form
from cloud_functions.plates.site_key import SiteKey
from cloud_functions.privacy.sealing import seal_row
from cloud_functions.privacy.vault import PlateVault
from shared.errors import ConfigurationError, PermanentError

log = logging.getLogger(__name__)


class Renormalized(NamedTuple):
    """The result of a conversion."""

    unprotected_reads: int
    protected_reads: int
    sites_left: tuple[str, ...]
    """Sites whose protected reads were not converted, because their keys are unavailable."""


def renormalize(database: Database, vault: PlateVault) -> Renormalized:
    """Convert all stored reads, including protected ones. Call it again to continue an interrupted conversion."""

    @contextmanager
    def transaction() -> Generator[Connection]:
        with database.transaction() as connection:
            limit_transaction(connection)
            yield connection

    with transaction() as connection:
        restart_conversion(connection)
        sites = sorted(sites_to_convert(connection))
    unprotected_reads, protected_reads, unavailable = convert_unprotected_reads(transaction), 0, list[str]()
    for site_id in sites:
        try:
            protected_reads += convert_protected_reads(transaction, site_id, vault)
        except (ConfigurationError, PermanentError) as error:
            log.warning("the protected plates of site %s are not converted: %s", site_id, error)
            unavailable.append(site_id)
    with transaction() as connection:
        purge_unread_plates(connection)
    return Renormalized(unprotected_reads, protected_reads, tuple(unavailable))


def convert_protected_reads(transaction: Transaction, site_id: str, vault: PlateVault, *, at_once: int = 1000) -> int:
    """Convert a site's protected reads and return how many changed; reads whose key was destroyed stay unchanged."""
    return retry_while_busy(lambda: _convert_sealed(transaction, site_id, vault, at_once))


def _convert_sealed(transaction: Transaction, site_id: str, vault: PlateVault, limit: int) -> int | None:
    with transaction() as connection:
        vault.refresh(connection)
        reads = next_protected_reads(connection, site_id, limit=limit)
        if not reads or not vault.has_key_of(site_id):  # without a key no read can be decrypted
            save_site_progress(connection, site_id, None)
            return None
        key = vault.key_of(site_id)
        opened: dict[str, str] = {}
        tokens: list[tuple[str, str]] = []
        for read in reads:
            data = _opened(vault, str(read.event_id), read.token, bytes(read.sealed))
            corrected = None if data is None else with_normal_form(from_json(data))
            if corrected is not None:
                opened[str(read.event_id)] = to_json(corrected).decode()
                tokens.append((read.token, key.token(corrected["plate_normalized"])))
        due = [(read.event_id, read.captured_at) for read in reads if str(read.event_id) in opened]
        changed = replace_events(connection, due, lambda event: _resealed(event, opened, key))
        record_unmatched_patterns(connection, tokens)
        save_site_progress(connection, site_id, reads[-1])
        return changed


def _resealed(event: FullEventRow, opened: dict[str, str], key: SiteKey) -> FullEventRow:
    plain = event._replace(event_data_json=opened[str(event.event_id)], plate_sealed=None)
    return seal_row(plain, key)[0]


def _opened(vault: PlateVault, event_id: str, token: str, sealed: bytes) -> str | None:
    try:
        return vault.open(sealed, event_id=event_id, token=token)
    except PermanentError as error:
        log.warning("%s", error)
        return None
