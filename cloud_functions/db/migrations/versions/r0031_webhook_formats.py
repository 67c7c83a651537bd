"""The format and the owner of webhooks, and a limit of what is pending for each.

New columns with constant defaults: earlier releases neither read nor write them, and go on sending plain JSON.

Revision ID: 0031
Revises: 0030
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE webhooks
    ADD COLUMN format     text COLLATE "C" NOT NULL DEFAULT 'json' CHECK (format IN ('json', 'cloudevents')),
    ADD COLUMN owner_id   uuid REFERENCES users ON DELETE SET NULL,  -- the user who set it last; NULL: no user
    ADD COLUMN dropped    bigint NOT NULL DEFAULT 0,  -- deliveries dropped because too many were pending
    ADD COLUMN dropped_at timestamptz;
ALTER TABLE webhook_deliveries
    ADD COLUMN low_value boolean NOT NULL DEFAULT false;  -- dropped first
"""

DOWN = """
ALTER TABLE webhook_deliveries DROP COLUMN low_value;
ALTER TABLE webhooks DROP COLUMN format, DROP COLUMN owner_id, DROP COLUMN dropped, DROP COLUMN dropped_at;
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
