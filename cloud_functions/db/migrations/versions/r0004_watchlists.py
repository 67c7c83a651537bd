"""Watch-lists: named lists of plate patterns that raise a ``plate_match`` when a plate matches.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE watchlists (
    watchlist_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text COLLATE "C" NOT NULL UNIQUE,
    description  text,
    enabled      boolean NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- Patterns are inserted and deleted but never changed, so a process with patterns in memory compares only their ids.
CREATE TABLE watchlist_patterns (
    pattern_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    watchlist_id bigint NOT NULL REFERENCES watchlists ON DELETE CASCADE,
    kind         text COLLATE "C" NOT NULL CHECK (kind IN ('exact', 'glob', 'regex', 'fuzzy')),
    pattern      text COLLATE "C" NOT NULL,
    max_distance integer CHECK ((max_distance IS NOT NULL) = (kind = 'fuzzy')),
    reason       text,
    expires_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX watchlist_patterns_list_idx ON watchlist_patterns (watchlist_id, pattern_id);

-- One row. Every transaction that changes one of the tables increases its number.
CREATE TABLE watchlist_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL
) WITH (fillfactor = 20);
INSERT INTO watchlist_version (version) VALUES (1);

CREATE FUNCTION watchlist_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE watchlist_version SET version = version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER watchlists_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON watchlists
    FOR EACH STATEMENT EXECUTE FUNCTION watchlist_changed();
CREATE TRIGGER watchlist_patterns_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON watchlist_patterns
    FOR EACH STATEMENT EXECUTE FUNCTION watchlist_changed();
"""

DOWN = """
DROP TABLE watchlist_patterns, watchlists, watchlist_version;
DROP FUNCTION watchlist_changed();
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
