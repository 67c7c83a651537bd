"""Functions that find one event by its id or its event_id, with a cached query plan.

Neither id determines the month of the event, so all months are searched. The search is fast, but planning it takes
several times as long, and longer with each month. A prepared statement would cache the plan, but not behind a pooler in
transaction mode. A function's plan is cached for each connection and all its users.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UP = """
CREATE FUNCTION event_by_number(wanted bigint) RETURNS SETOF events
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1 AS $$
BEGIN
    RETURN QUERY SELECT * FROM events WHERE id = wanted ORDER BY "timestamp" DESC LIMIT 1;
END
$$;

-- Finds events captured at or after ``earliest`` and before ``latest``; other months are not searched.
CREATE FUNCTION event_by_uuid(
    wanted uuid, earliest timestamptz DEFAULT '-infinity', latest timestamptz DEFAULT 'infinity'
) RETURNS SETOF events
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1 AS $$
BEGIN
    RETURN QUERY SELECT * FROM events
        WHERE event_id = wanted AND "timestamp" >= earliest AND "timestamp" < latest
        ORDER BY "timestamp" DESC LIMIT 1;
END
$$;
"""

DOWN = """
DROP FUNCTION event_by_number(bigint);
DROP FUNCTION event_by_uuid(uuid, timestamptz, timestamptz);
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
