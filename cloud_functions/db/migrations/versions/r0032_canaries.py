"""The receipts of the devices' canaries.

A new table only: an earlier release ignores it.

Revision ID: 0032
Revises: 0031
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE canary_receipts (
    device_id        text COLLATE "C" PRIMARY KEY,
    site_id          text COLLATE "C" NOT NULL,
    canary_id        uuid NOT NULL,  -- the latest one
    every_s          double precision NOT NULL,
    sent_at          timestamptz NOT NULL,  -- by the clock of the device
    stored_at        timestamptz NOT NULL DEFAULT now(),
    first_stored_at  timestamptz NOT NULL DEFAULT now(),
    received_id      uuid,  -- the latest one that a subscriber has received
    received_at      timestamptz
);
COMMENT ON TABLE canary_receipts IS 'One row for each device that sends canaries; see docs/guide/monitoring.md.';
"""

DOWN = "DROP TABLE canary_receipts;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
