"""Record the snapshots of deleted events until they are deleted from the bucket.

The migration only adds a table, so an earlier release is not affected.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE expired_pictures (
    device_id text NOT NULL,
    path text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, path)
);
CREATE INDEX expired_pictures_noted_at_idx ON expired_pictures (noted_at);
COMMENT ON TABLE expired_pictures IS 'Pictures of deleted events that are still to be deleted in the bucket.';
"""

DOWN = "DROP TABLE expired_pictures;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
