"""Replace the descending indexes on time by ascending ones that include the confidence.

Events arrive in time order. PostgreSQL fills the pages at the right end of an ascending index, but splits those at the
left end of a descending one. Lists read an ascending index backwards at the same speed. With the confidence in the
index, ``min_confidence`` is counted without reading the events.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UP = """
DROP INDEX events_time_idx, events_camera_time_idx, events_type_time_idx, events_camera_type_time_idx,
    events_plate_time_idx;
CREATE INDEX events_time_idx ON events ("timestamp", id) INCLUDE (confidence);
CREATE INDEX events_camera_time_idx ON events (camera_id, "timestamp", id) INCLUDE (confidence);
CREATE INDEX events_type_time_idx ON events (event_type, "timestamp", id) INCLUDE (confidence);
CREATE INDEX events_camera_type_time_idx ON events (camera_id, event_type, "timestamp", id) INCLUDE (confidence);
CREATE INDEX events_plate_time_idx ON events (license_plate, "timestamp", id) WHERE license_plate IS NOT NULL;
"""

DOWN = """
DROP INDEX events_time_idx, events_camera_time_idx, events_type_time_idx, events_camera_type_time_idx,
    events_plate_time_idx;
CREATE INDEX events_time_idx ON events ("timestamp" DESC, id DESC);
CREATE INDEX events_camera_time_idx ON events (camera_id, "timestamp" DESC, id DESC);
CREATE INDEX events_type_time_idx ON events (event_type, "timestamp" DESC, id DESC);
CREATE INDEX events_camera_type_time_idx ON events (camera_id, event_type, "timestamp" DESC, id DESC);
CREATE INDEX events_plate_time_idx ON events (license_plate, "timestamp" DESC, id DESC) WHERE license_plate IS NOT NULL;
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
