"""Replays: spans of stored events that one subscriber receives again.

A new table, and a column that earlier releases do not read and leave NULL.

Revision ID: 0028
Revises: 0027
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE replays (
    id             uuid PRIMARY KEY,
    target         text COLLATE "C" NOT NULL,  -- of fan-out
    webhook_id     uuid REFERENCES webhooks ON DELETE CASCADE,  -- NULL: the whole target receives the events
    start_time     timestamptz NOT NULL,
    end_time       timestamptz NOT NULL,  -- exclusive
    filter         jsonb NOT NULL DEFAULT '{}',  -- conditions on events, named as in GET /events
    groups         text[],  -- slugs of the camera groups it is limited to; NULL for no limit
    requested_by   text NOT NULL,
    events         bigint NOT NULL,  -- that matched when it was requested
    status         text COLLATE "C" NOT NULL DEFAULT 'pending'
                   CHECK (status IN ('pending', 'running', 'done', 'cancelled', 'failed')),
    error          text,  -- why it failed, as a short code
    sent           bigint NOT NULL DEFAULT 0,
    position_time  timestamptz,  -- of the last event that was sent; the next chunk begins after it
    position_id    bigint,
    last_sent_at   timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz
);
CREATE INDEX replays_open_idx ON replays (last_sent_at NULLS FIRST) WHERE status IN ('pending', 'running');
CREATE INDEX replays_created_idx ON replays (created_at DESC);
ALTER TABLE webhook_deliveries ADD COLUMN replay_id uuid;  -- the replay that has sent the document last
"""

DOWN = """
ALTER TABLE webhook_deliveries DROP COLUMN replay_id;
DROP TABLE replays;
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
