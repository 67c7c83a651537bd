"""The rate at which each camera's events are published, for the limit of fan-out.

A new table that only ingest with ``FANOUT_EVENTS_PER_S`` writes. UNLOGGED: after a crash of the server every camera has
its whole burst again, which is harmless, and no batch waits for its rates to be on disk.

Revision ID: 0030
Revises: 0029
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

UP = """
CREATE UNLOGGED TABLE fanout_rates (
    site_id      text COLLATE "C" NOT NULL,
    camera_id    text COLLATE "C" NOT NULL,
    tokens       double precision NOT NULL,  -- events that it may publish at once, when refilled_at
    granted      integer NOT NULL,  -- events that its last batch could publish
    refilled_at  timestamptz NOT NULL,
    PRIMARY KEY (site_id, camera_id)
) WITH (fillfactor = 50);
"""

DOWN = "DROP TABLE fanout_rates;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
