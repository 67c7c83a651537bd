"""Objects without rows, rows without objects, and the indexes that maintenance has rebuilt.

New tables only: earlier releases do not use them and are not affected.

Revision ID: 0029
Revises: 0028
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

UP = """
-- How far the present pass over all objects ('orphaned') or all rows ('missing') has come.
CREATE TABLE object_checks (
    kind        text COLLATE "C" PRIMARY KEY CHECK (kind IN ('orphaned', 'missing')),
    position    text COLLATE "C" NOT NULL DEFAULT '',  -- what was checked last; empty: the pass has not begun
    checked     bigint NOT NULL DEFAULT 0,             -- in the present pass
    started_at  timestamptz NOT NULL DEFAULT now(),    -- of the present pass
    finished_at timestamptz                            -- of the last pass that ended
);

CREATE TABLE object_findings (
    kind       text COLLATE "C" NOT NULL CHECK (kind IN ('orphaned', 'missing')),
    device_id  text COLLATE "C" NOT NULL,
    path       text COLLATE "C" NOT NULL,           -- the key below the prefix of the device
    size_bytes bigint NOT NULL DEFAULT 0,           -- 0 for a missing object
    found_at   timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),  -- when it was found again
    PRIMARY KEY (kind, device_id, path)
);

CREATE TABLE index_rebuilds (
    name       text COLLATE "C" PRIMARY KEY,
    rebuilt_at timestamptz NOT NULL DEFAULT now(),
    size_bytes bigint,   -- after the rebuild; NULL if it failed
    row_count  bigint    -- estimate of the planner at that time
);
"""

DOWN = "DROP TABLE object_checks, object_findings, index_rebuilds;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
