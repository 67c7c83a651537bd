"""Convert the plates whose letters an earlier release dropped to the current normal form.

The normal form is computed from the plate as read, which is stored with it. Reads are converted in batches. Each batch
is one short transaction with time limits and saves its progress, so that an interrupted conversion continues where it
stopped, in this migration or in ``vedette-plates renormalize``. An earlier release that is still running can read and
write during the conversion. Protected reads can only be converted with their keys: ``vedette-plates renormalize``
converts them, and until then the API finds them under their old tokens.

The SQL is written for the schema of this revision and does not change with later ones. Only functions on the text of
plates are imported (``cloud_functions.plates``), because the result must be the current normal form.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from alembic import op
from pydantic_core import from_json, to_json

from cloud_functions.db.migrations.plain_sql import run_sql
from cloud_functions.plates.normal_form import normal_form, with_normal_form
from cloud_functions.plates.patterns import PatternIndex, WatchPattern
from cloud_functions.plates.site_key import is_token
from shared.errors import TransientError

log = logging.getLogger(__name__)

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# This is committed before the reads are converted and before the revision is stored, so it can run again after an
# interruption.
UP = """
SET LOCAL lock_timeout = '250ms';

-- Replaces every character outside ASCII by one of a to z, because trigrams ignore letters that the database's locale
-- does not know. Different letters can become the same one; search compares the plates themselves afterwards.
CREATE OR REPLACE FUNCTION plate_in_ascii(plate text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(CASE WHEN ascii(char) < 128 THEN char ELSE chr(97 + ascii(char) % 26) END, '' ORDER BY place)
    FROM unnest(string_to_array(plate, NULL)) WITH ORDINALITY AS chars (char, place)
$$;
CREATE INDEX IF NOT EXISTS plates_other_letters_trgm_idx ON plates USING gin (plate_in_ascii(folded) gin_trgm_ops)
    WITH (gin_pending_list_limit = 128) WHERE plate_normalized_text ~ '[^ -~]';

-- The progress of the conversion of unprotected reads.
CREATE TABLE IF NOT EXISTS plate_conversion (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    captured_at  timestamptz NOT NULL DEFAULT '1900-01-01T00:00Z',  -- with id: the last read that was processed
    id           bigint NOT NULL DEFAULT 0,
    completed_at timestamptz
);
INSERT INTO plate_conversion DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Sites that may have protected reads from an earlier release, and the progress of their conversion.
CREATE TABLE IF NOT EXISTS plate_conversion_sites (
    site_id     text COLLATE "C" PRIMARY KEY,
    captured_at timestamptz NOT NULL DEFAULT '1900-01-01T00:00Z',
    id          bigint NOT NULL DEFAULT 0
);
INSERT INTO plate_conversion_sites (site_id) SELECT DISTINCT site_id FROM site_keys ON CONFLICT DO NOTHING;

-- Watch-list patterns that matched reads only because letters had been dropped. An operator must check which plate
-- such a pattern is for.
CREATE TABLE IF NOT EXISTS plate_conversion_patterns (
    pattern_id bigint PRIMARY KEY,
    reads      bigint NOT NULL
);
"""

# Reads keep the current normal form: an earlier release shows them, and finds those with Latin letters.
DOWN = """
SET LOCAL lock_timeout = '250ms';
DROP TABLE plate_conversion, plate_conversion_sites, plate_conversion_patterns;
DROP INDEX plates_other_letters_trgm_idx;
DROP FUNCTION plate_in_ascii(text);
"""

_PROGRESS: Final = "SELECT captured_at, id FROM plate_conversion FOR UPDATE"
_NEXT_READS: Final = """
SELECT event_id, captured_at, id, site_id, plate_text, plate_normalized_text FROM plate_events
WHERE (captured_at, id) > (%s, %s) ORDER BY captured_at, id LIMIT %s
"""
_SAVE_PROGRESS: Final = "UPDATE plate_conversion SET captured_at = %s, id = %s"
_COMPLETE: Final = "UPDATE plate_conversion SET completed_at = now()"

# Events are deleted and inserted again instead of updated, so that the triggers run and all rollups stay exact.
_DELETE: Final = """
DELETE FROM events USING unnest(%(event_ids)s::uuid[], %(times)s::timestamptz[]) AS taken (taken_id, at)
WHERE event_id = taken_id AND "timestamp" = at AND "timestamp" BETWEEN %(first)s AND %(last)s
RETURNING id, event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence, sequence_epoch,
    snapshot_path, plate_sealed, created_at, snapshot::text, event_data::text
"""
_INSERT: Final = """
INSERT INTO events (id, event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence,
                    sequence_epoch, snapshot_path, plate_sealed, created_at, snapshot, event_data)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s::jsonb)
"""

_ACTIVE_PATTERNS: Final = """
SELECT pattern_id, watchlist_id, kind, pattern, max_distance, reason, expires_at FROM watchlist_patterns
JOIN watchlists USING (watchlist_id) WHERE enabled AND (expires_at IS NULL OR expires_at > now())
"""
_COUNT_UNMATCHED: Final = """
INSERT INTO plate_conversion_patterns AS p (pattern_id, reads) VALUES (%s, %s)
ON CONFLICT (pattern_id) DO UPDATE SET reads = p.reads + EXCLUDED.reads
"""

_READS_AT_ONCE: Final = 2000
_ATTEMPTS: Final = 10
_PAUSE_S: Final = 1.0
_BUSY: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.QueryCanceled)

_Connection = psycopg.Connection[tuple[Any, ...]]


def _convert_reads(connection: _Connection) -> None:
    """Convert all unprotected reads; raise TransientError if the tables are too busy."""
    failures = 0
    while True:
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '30s'")
                if not _convert_batch(connection):
                    return
            failures = 0
        except _BUSY as error:
            failures += 1
            if failures == _ATTEMPTS:
                raise TransientError("the plate tables are too busy to convert; migrate again later") from error
            log.info("retrying the conversion of plates: %s", type(error).__name__)
            time.sleep(_PAUSE_S)


def _convert_batch(connection: _Connection) -> bool:
    """Convert the next reads and save the progress; return False if no read was left."""
    progress = connection.execute(_PROGRESS).fetchone() or (None, None)
    reads = connection.execute(_NEXT_READS, [*progress, _READS_AT_ONCE]).fetchall()
    if not reads:
        connection.execute(_COMPLETE)
        return False
    # Protecting a site converts its reads while it seals them.
    protected = {site_id for (site_id,) in connection.execute("SELECT site_id FROM sites WHERE plates_protected")}
    keys: list[tuple[Any, datetime]] = []
    changes = Counter[tuple[str, str]]()
    for event_id, captured_at, _, site_id, text, plate in reads:
        if not is_token(plate) and site_id not in protected and (correct := normal_form(text, plate)) != plate:
            keys.append((event_id, captured_at))
            changes[plate, correct] += 1
    if keys:
        _replace_events(connection, keys)
        _count_unmatched_patterns(connection, changes)
    connection.execute(_SAVE_PROGRESS, reads[-1][1:3])
    return True


def _replace_events(connection: _Connection, keys: list[tuple[Any, datetime]]) -> None:
    times = [captured_at for _, captured_at in keys]
    parameters = {"event_ids": [key for key, _ in keys], "times": times, "first": min(times), "last": max(times)}
    rows = connection.execute(_DELETE, parameters).fetchall()
    converted = [(*row[:-1], _with_normal_form(row[-1])) for row in rows]
    connection.cursor().executemany(_INSERT, converted)


def _with_normal_form(event_data: str) -> str:
    corrected = with_normal_form(from_json(event_data))
    return event_data if corrected is None else to_json(corrected).decode()


def _count_unmatched_patterns(connection: _Connection, changes: Counter[tuple[str, str]]) -> None:
    """Count the reads that each watch-list pattern matched before the change and does not match after it."""
    index = PatternIndex()
    for row in connection.execute(_ACTIVE_PATTERNS):
        pattern = WatchPattern(*row)
        try:
            index.add(pattern)
        except ValueError as error:
            log.warning("watch-list pattern %d is not used: it %s", pattern.pattern_id, error)
    now = datetime.now(UTC)
    unmatched = Counter[int]()
    for (before, after), number in changes.items():
        matching = {match.pattern.pattern_id for match in index.matches(after, now=now)}
        for match in index.matches(before, now=now):
            if match.pattern.pattern_id not in matching:
                unmatched[match.pattern.pattern_id] += number
    for pattern_id, number in sorted(unmatched.items()):
        connection.execute(_COUNT_UNMATCHED, [pattern_id, number])


def upgrade() -> None:
    run_sql(UP)
    with op.get_context().autocommit_block():
        connection = op.get_bind().connection.driver_connection
        assert connection is not None  # noqa: S101 - Alembic is never run offline here
        _convert_reads(connection)


def downgrade() -> None:
    run_sql(DOWN)
