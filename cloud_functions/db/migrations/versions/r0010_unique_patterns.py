"""A watch-list holds each pattern once: a request that is repeated, its answer lost, adds nothing.

Alike are patterns of one list with the same kind, text, distance, reason and end. Of those that are there twice the
older one stays, so numbers that a client knows from its first request stay good.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UP = """
DELETE FROM watchlist_patterns AS p USING (
    SELECT pattern_id, row_number() OVER (
        PARTITION BY watchlist_id, kind, pattern, max_distance, reason, expires_at ORDER BY pattern_id) AS copy
    FROM watchlist_patterns
) AS numbered
WHERE p.pattern_id = numbered.pattern_id AND copy > 1;

-- The reason by its digest: a text of 500 characters may be more than an index entry holds.
CREATE UNIQUE INDEX watchlist_patterns_once_idx ON watchlist_patterns (
    watchlist_id, kind, pattern, COALESCE(max_distance, -1), md5(COALESCE(reason, '')),
    COALESCE(expires_at, 'infinity'::timestamptz));
"""

DOWN = "DROP INDEX watchlist_patterns_once_idx;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
