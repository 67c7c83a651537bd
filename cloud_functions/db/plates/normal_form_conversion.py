"""Converts stored unprotected reads to the current normal form, computed from the plate as it was read.

Each batch is one short transaction with time limits, and saves its progress, so that an interrupted conversion
continues there. Events are deleted and inserted again in one transaction, so that rollups stay exact and concurrent
sessions see each event in either the old or the new form.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

import psycopg
from pydantic_core import from_json, to_json

from cloud_functions.db.plates.conversion import (
    FullEventRow,
    count_pattern_reads,
    next_unprotected_reads,
    replace_events,
    save_progress,
)
from cloud_functions.db.types import Connection, Transaction
from cloud_functions.db.watchlists import active_pattern_numbers, load_patterns
from cloud_functions.plates.normal_form import normal_form, with_normal_form
from cloud_functions.plates.patterns import PatternIndex
from cloud_functions.plates.site_key import is_token
from shared.errors import TransientError

log = logging.getLogger(__name__)

READS_AT_ONCE: Final = 2000
"""Reads processed in one transaction. A higher number makes fewer and longer transactions."""
LOCK_TIMEOUT: Final = "2s"
STATEMENT_TIMEOUT: Final = "30s"
_ATTEMPTS: Final = 10
_PAUSE_S: Final = 1.0
_BUSY: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.QueryCanceled)


def limit_transaction(connection: Connection) -> None:
    """Set the transaction's lock timeout and statement timeout."""
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
    connection.execute("SELECT set_config('statement_timeout', %s, true)", [STATEMENT_TIMEOUT])


def convert_unprotected_reads(transaction: Transaction, *, at_once: int = READS_AT_ONCE) -> int:
    """Convert the unprotected reads, starting from the saved progress; return how many changed.

    Raises:
        TransientError: the tables are too busy; completed batches are kept.
    """
    return retry_while_busy(lambda: _convert_batch(transaction, at_once))


def retry_while_busy(step: Callable[[], int | None]) -> int:
    """Call ``step`` until it returns None; return the sum. A step that times out is retried."""
    changed, failures = 0, 0
    while True:
        try:
            number = step()
        except (*_BUSY, TransientError) as error:
            failures += 1
            if failures == _ATTEMPTS:
                raise TransientError("the plate tables are too busy to convert; run the conversion later") from error
            log.info("retrying the conversion of plates: %s", type(error).__name__)
            time.sleep(_PAUSE_S)
            continue
        if number is None:
            return changed
        changed, failures = changed + number, 0


def _convert_batch(transaction: Transaction, limit: int) -> int | None:
    with transaction() as connection:
        reads = next_unprotected_reads(connection, limit=limit)
        if not reads:
            save_progress(connection, None)
            return None
        # Protecting a site converts its reads while it seals them.
        protected = {site_id for (site_id,) in connection.execute("SELECT site_id FROM sites WHERE plates_protected")}
        due = [
            (read, correct)
            for read in reads
            if not is_token(read.plate)
            and read.site_id not in protected
            and (correct := normal_form(read.plate_text, read.plate)) != read.plate
        ]
        changed = replace_events(connection, [(read.event_id, read.captured_at) for read, _ in due], _converted)
        record_unmatched_patterns(connection, [(read.plate, correct) for read, correct in due])
        save_progress(connection, reads[-1])
        return changed


def _converted(event: FullEventRow) -> FullEventRow | None:
    corrected = with_normal_form(from_json(event.event_data_json))
    return None if corrected is None else event._replace(event_data_json=to_json(corrected).decode())


def record_unmatched_patterns(connection: Connection, changes: Iterable[tuple[str, str]]) -> None:
    """Record the watch-list patterns that match the plate before the change and not the plate after it."""
    pairs = Counter(changes)
    if not pairs:
        return
    index = PatternIndex()
    for pattern in load_patterns(connection, active_pattern_numbers(connection)):
        try:
            index.add(pattern)
        except ValueError as error:
            log.warning("watch-list pattern %d is not used: it %s", pattern.pattern_id, error)
    now = datetime.now(UTC)
    unmatched = Counter[int]()
    for (before, after), number in pairs.items():
        find = index.exact if is_token(before) else index.matches
        matching = {match.pattern.pattern_id for match in find(after, now=now)}
        for match in find(before, now=now):
            if match.pattern.pattern_id not in matching:
                unmatched[match.pattern.pattern_id] += number
    count_pattern_reads(connection, unmatched)
