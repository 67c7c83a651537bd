"""Reset tokens, with which users choose a password themselves.

A new table only: earlier releases do not use it and are not affected.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE password_resets (
    user_id    uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),  -- SHA-256
    expires_at timestamptz NOT NULL
);
"""

DOWN = "DROP TABLE password_resets;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
