"""Give the view of recent plate reads the column names of ALPR storage services, and index reads by site and track.

The view keeps its other columns under their names, so programs that use them go on as before.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

UP = """
-- The addresses of images that the producer of a read stores itself are in its event.
CREATE OR REPLACE VIEW plate_events_recent AS
SELECT p.*, p.confidence AS plate_confidence, p.region AS plate_region, p.host AS host_id,
       CASE WHEN p.plate_image_key ~ '^https?://' THEN p.plate_image_key END AS plate_image_url,
       (SELECT e.event_data ->> 'vehicle_image_url' FROM events AS e
        WHERE e.event_id = p.event_id AND e."timestamp" = p.captured_at) AS vehicle_image_url,
       (SELECT e.event_data ->> 'frame_image_url' FROM events AS e
        WHERE e.event_id = p.event_id AND e."timestamp" = p.captured_at) AS frame_image_url
FROM plate_events AS p WHERE p.captured_at > now() - interval '24 hours' ORDER BY p.captured_at DESC, p.id DESC;

CREATE INDEX plate_events_site_idx ON plate_events (site_id, captured_at, id);
CREATE INDEX plate_events_track_idx ON plate_events (track_uid, captured_at, id) WHERE track_uid IS NOT NULL;
"""

DOWN = """
DROP INDEX plate_events_site_idx, plate_events_track_idx;
DROP VIEW plate_events_recent;
CREATE VIEW plate_events_recent AS
SELECT * FROM plate_events WHERE captured_at > now() - interval '24 hours' ORDER BY captured_at DESC, id DESC;
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
