"""Keep how far the databases of other systems have been copied, and the rows that could not be taken.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE adoptions (
    source        text NOT NULL,               -- host, port and name of the other database
    table_name    text NOT NULL,
    position      text[] NOT NULL,             -- the key of the last row that was copied
    with_pictures boolean NOT NULL,            -- whether the pictures of these rows were copied too
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (source, table_name)
);

CREATE TABLE adoption_refusals (
    source     text NOT NULL,
    table_name text NOT NULL,
    row_key    text NOT NULL,                  -- the key of the row in the other database
    reason     text NOT NULL,
    PRIMARY KEY (source, table_name, row_key)
);
"""

DOWN = "DROP TABLE adoptions, adoption_refusals;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
