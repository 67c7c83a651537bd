"""A watch-list has each pattern once, so that a request whose response was lost can be repeated.

Two patterns of one list are equal if they have the same kind, text, distance, reason and expiry. Of equal patterns the
oldest is kept, so that ids which a client knows from its first request stay valid.

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

-- The reason is indexed by its digest, because a text of 500 characters can exceed the size limit of an index entry.
CREATE UNIQUE INDEX watchlist_patterns_once_idx ON watchlist_patterns (
    watchlist_id, kind, pattern, COALESCE(max_distance, -1), md5(COALESCE(reason, '')),
    COALESCE(expires_at, 'infinity'::timestamptz));
"""

DOWN = "DROP INDEX watchlist_patterns_once_idx;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
