"""Images that are deleted again, because their devices may still upload them.

A new column only: an earlier release ignores it, and then deletes each image once.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE expired_pictures ADD COLUMN retry_until timestamptz;
COMMENT ON COLUMN expired_pictures.retry_until IS
    'Until then the image may still arrive, so it is deleted daily. NULL: it is deleted once.';
"""

DOWN = "ALTER TABLE expired_pictures DROP COLUMN retry_until;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
