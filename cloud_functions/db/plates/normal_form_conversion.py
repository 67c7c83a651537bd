"""Converts stored reads that are not protected to today's normal form, computed from the plate as it was read.

A batch is one short transaction: it waits neither long for a lock nor runs long, and notes how far it came, so that an
interrupted conversion goes on there. Events are taken out and put back, so that all counts stay exact, and whoever
writes or reads meanwhile sees each of them in the one form or the other.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
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
"""Reads looked at in one transaction. Raising it makes fewer and longer transactions."""
LOCK_TIMEOUT: Final = "2s"
STATEMENT_TIMEOUT: Final = "30s"
_ATTEMPTS: Final = 10
_PAUSE_S: Final = 1.0
_BUSY: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.QueryCanceled)


def short_transactions(connection: Connection) -> Transaction:
    """Return transactions on an autocommit connection that neither wait nor run long."""

    @contextmanager
    def transaction() -> Generator[Connection]:
        with connection.transaction():
            limit_transaction(connection)
            yield connection

    return transaction


def limit_transaction(connection: Connection) -> None:
    """Bound how long the transaction's statements wait for locks, and how long they run."""
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
    connection.execute("SELECT set_config('statement_timeout', %s, true)", [STATEMENT_TIMEOUT])


def convert_unprotected_reads(transaction: Transaction, *, at_once: int = READS_AT_ONCE) -> int:
    """Convert the reads that are not protected, from where the last conversion stopped; return how many were changed.

    Raises:
        TransientError: the tables are too busy now; what was done is kept.
    """
    return retry_while_busy(lambda: _convert_open(transaction, at_once))


def retry_while_busy(step: Callable[[], int | None]) -> int:
    """Call until it returns None; return the sum. A step that the database is too busy for is tried again."""
    changed, failures = 0, 0
    while True:
        try:
            number = step()
        except (*_BUSY, TransientError) as error:
            failures += 1
            if failures == _ATTEMPTS:
                raise TransientError("the plates are too busy to be converted now; start it again later") from error
            log.info("converting plates waits: %s", type(error).__name__)
            time.sleep(_PAUSE_S)
            continue
        if number is None:
            return changed
        changed, failures = changed + number, 0


def _convert_open(transaction: Transaction, limit: int) -> int | None:
    with transaction() as connection:
        reads = next_unprotected_reads(connection, limit=limit)
        if not reads:
            save_progress(connection, None)
            return None
        # Those of protected sites are sealed as they are converted by whoever protects the site.
        guarded = {site_id for (site_id,) in connection.execute("SELECT site_id FROM sites WHERE plates_protected")}
        due = [
            (read, right)
            for read in reads
            if not is_token(read.plate)
            and read.site_id not in guarded
            and (right := normal_form(read.plate_text, read.plate)) != read.plate
        ]
        changed = replace_events(connection, [(read.event_id, read.captured_at) for read, _ in due], _converted)
        record_unmatched_patterns(connection, [(read.plate, right) for read, right in due])
        save_progress(connection, reads[-1])
        return changed


def _converted(event: FullEventRow) -> FullEventRow | None:
    right = with_normal_form(from_json(event.event_data_json))
    return None if right is None else event._replace(event_data_json=to_json(right).decode())


def record_unmatched_patterns(connection: Connection, changes: Iterable[tuple[str, str]]) -> None:
    """Note the watch-list patterns that the plate before matched and the plate after does not."""
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
    lost = Counter[int]()
    for (before, after), number in pairs.items():
        find = index.exact if is_token(before) else index.matches
        still = {match.pattern.pattern_id for match in find(after, now=now)}
        for match in find(before, now=now):
            if match.pattern.pattern_id not in still:
                lost[match.pattern.pattern_id] += number
    count_pattern_reads(connection, lost)
