"""Commands that callers of the API send to devices, with the devices' replies.

A new table only: earlier releases do not use it and are not affected.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UP = """
-- Commands with which the API asks a device. Commands that no caller waits for, such as resend, have no row.
CREATE TABLE commands (
    id           uuid PRIMARY KEY,                -- the command_id on the wire
    device_id    text COLLATE "C" NOT NULL,
    site_id      text COLLATE "C" NOT NULL,
    kind         text COLLATE "C" NOT NULL,       -- the command on the wire: snapshot, test_connection, ...
    camera_id    text COLLATE "C",                -- the camera's slug, for a command to one camera
    requested_by text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,            -- the device does not execute the command later
    status       text COLLATE "C" NOT NULL DEFAULT 'sent' CHECK (status IN ('sent', 'ok', 'error')),
    reply        jsonb,                           -- without secrets
    replied_at   timestamptz
);
CREATE INDEX commands_created_idx ON commands (created_at);
"""

DOWN = "DROP TABLE commands;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
