"""Outages of devices, the events that report them until they are sent, and the daily health reports.

New tables only: earlier releases do not use them and are not affected.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

UP = """
-- A device that has sent nothing for 90 seconds, until its next heartbeat.
CREATE TABLE device_outages (
    outage_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    device_id    text COLLATE "C" NOT NULL,
    site_id      text COLLATE "C" NOT NULL,
    last_seen_at timestamptz NOT NULL,           -- before the outage
    heartbeat_at timestamptz,                    -- of the last heartbeat before the outage
    cameras      text[] COLLATE "C" NOT NULL,    -- those that were not offline before
    created_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz
);
CREATE UNIQUE INDEX device_outages_open_idx ON device_outages (device_id) WHERE ended_at IS NULL;
CREATE INDEX device_outages_ended_idx ON device_outages (ended_at);

-- Events that the cloud makes for a device, until they are in the ingest queue.
CREATE TABLE cloud_events (
    event_id   uuid PRIMARY KEY,
    topic      text NOT NULL,
    event      jsonb NOT NULL,                   -- as a device sends it
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE health_reports (
    day        date PRIMARY KEY,                 -- UTC
    report     jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
"""

DOWN = "DROP TABLE device_outages, cloud_events, health_reports;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
