"""Plates in today's normal form: reads whose letters an earlier release dropped are converted, and found like others.

The stored text as read says what the normal form must be. Reads are converted a batch at a time, each in a short
transaction of its own that gives up rather than make others wait; what was interrupted goes on where it stopped, here
or by ``vedette-plates renormalize``. The release that is running meanwhile reads and writes as before. Protected reads
need their keys: ``vedette-plates renormalize`` converts them, and the API finds them meanwhile.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from alembic import op

from cloud_functions.db.migrations.plain_sql import run_sql
from cloud_functions.db.plates.normal_form_conversion import convert_unprotected_reads, short_transactions

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Committed before the reads are converted, and before the revision is noted: may be run again after an interruption.
UP = """
SET LOCAL lock_timeout = '250ms';

-- A plate with every character outside ASCII made one of a to z: trigrams of letters that the database's locale does
-- not know. Several become the same; search compares the plates themselves afterwards.
CREATE OR REPLACE FUNCTION plate_in_ascii(plate text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(CASE WHEN ascii(char) < 128 THEN char ELSE chr(97 + ascii(char) % 26) END, '' ORDER BY place)
    FROM unnest(string_to_array(plate, NULL)) WITH ORDINALITY AS chars (char, place)
$$;
CREATE INDEX IF NOT EXISTS plates_other_letters_trgm_idx ON plates USING gin (plate_in_ascii(folded) gin_trgm_ops)
    WITH (gin_pending_list_limit = 128) WHERE plate_normalized_text ~ '[^ -~]';

-- How far stored reads have been converted to today's normal form.
CREATE TABLE IF NOT EXISTS plate_conversion (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    captured_at  timestamptz NOT NULL DEFAULT '1900-01-01T00:00Z',  -- with id, the last read that was looked at
    id           bigint NOT NULL DEFAULT 0,
    completed_at timestamptz
);
INSERT INTO plate_conversion DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Sites that may have protected reads from before, and how far these have been converted.
CREATE TABLE IF NOT EXISTS plate_conversion_sites (
    site_id     text COLLATE "C" PRIMARY KEY,
    captured_at timestamptz NOT NULL DEFAULT '1900-01-01T00:00Z',
    id          bigint NOT NULL DEFAULT 0
);
INSERT INTO plate_conversion_sites (site_id) SELECT DISTINCT site_id FROM site_keys ON CONFLICT DO NOTHING;

-- Watch-list patterns that matched converted reads by letters that had been dropped, and match them no more: a person
-- must say which plate was meant.
CREATE TABLE IF NOT EXISTS plate_conversion_patterns (
    pattern_id bigint PRIMARY KEY,
    reads      bigint NOT NULL
);
"""

# Reads stay in the form they have: an earlier release shows them, and finds those of Latin letters.
DOWN = """
SET LOCAL lock_timeout = '250ms';
DROP TABLE plate_conversion, plate_conversion_sites, plate_conversion_patterns;
DROP INDEX plates_other_letters_trgm_idx;
DROP FUNCTION plate_in_ascii(text);
"""


def upgrade() -> None:
    run_sql(UP)
    with op.get_context().autocommit_block():
        connection = op.get_bind().connection.driver_connection
        assert connection is not None  # noqa: S101 - Alembic is never run offline here
        convert_unprotected_reads(short_transactions(connection))


def downgrade() -> None:
    run_sql(DOWN)
