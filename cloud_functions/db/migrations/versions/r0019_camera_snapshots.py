"""Snapshots that were requested from cameras: where each image is, and when it expires.

A new table only: earlier releases do not use it and are not affected. A snapshot is not linked to its camera by a
foreign key: like an event, it has the camera's slug and stays after the camera is deleted, until it expires.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE camera_snapshots (
    id             uuid PRIMARY KEY,
    camera_id      uuid,                            -- NULL for a camera that was not in the API
    camera_slug    text COLLATE "C" NOT NULL,       -- the camera_id of events and topics
    device_id      text COLLATE "C" NOT NULL,       -- of the agent that took it
    command_id     text COLLATE "C",
    -- pending: requested, or the image is not in the bucket yet. stored: the image can be read. failed: see error.
    status         text COLLATE "C" NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'stored', 'failed')),
    error          text,
    filename       text,
    storage_path   text COLLATE "C",                -- key of the object in the bucket; NULL until the device replies
    thumbnail_path text COLLATE "C",                -- the same of the thumbnail, if there is one
    content_type   text COLLATE "C",
    file_size      bigint,
    width          bigint,
    height         bigint,
    captured_at    timestamptz NOT NULL DEFAULT now(),  -- until the device replies: when it was requested
    expiry_date    timestamptz,                     -- NULL: as the deployment's snapshots
    created_at     timestamptz NOT NULL DEFAULT now(),
    CHECK (status <> 'stored' OR storage_path IS NOT NULL)
);
CREATE INDEX camera_snapshots_camera_idx ON camera_snapshots (camera_slug, captured_at DESC, id DESC);
CREATE INDEX camera_snapshots_device_idx ON camera_snapshots (device_id, captured_at DESC, id DESC);
CREATE INDEX camera_snapshots_captured_idx ON camera_snapshots (captured_at DESC, id DESC);
CREATE INDEX camera_snapshots_path_idx ON camera_snapshots (storage_path);
CREATE INDEX camera_snapshots_expiry_idx ON camera_snapshots (expiry_date) WHERE expiry_date IS NOT NULL;
CREATE INDEX camera_snapshots_unstored_idx ON camera_snapshots (created_at, id) WHERE status <> 'stored';
"""

DOWN = "DROP TABLE camera_snapshots;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
