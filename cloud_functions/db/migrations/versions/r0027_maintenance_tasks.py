"""When each maintenance task ran, succeeded and is due.

A new table only: earlier releases do not use it and are not affected.

Revision ID: 0027
Revises: 0026
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE maintenance_tasks (
    task         text COLLATE "C" PRIMARY KEY,
    schedule     text NOT NULL,               -- as EventBridge Scheduler writes it
    next_due_at  timestamptz NOT NULL,
    started_at   timestamptz,                 -- of the last run
    finished_at  timestamptz,                 -- of the last run that ended
    succeeded_at timestamptz,                 -- of the last run without failed steps
    failures     integer NOT NULL DEFAULT 0,  -- in a row
    error        text                         -- the failed steps of the last run
);
"""

DOWN = "DROP TABLE maintenance_tasks;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
