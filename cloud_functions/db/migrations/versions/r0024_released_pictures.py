"""Record the pictures of every deleted event, so that maintenance deletes those that nothing shows any more.

A trigger records them in the transaction that deletes the events, regardless of what deletes them: the API, retention,
or an operator with psql. Maintenance then checks whether another event, a plate read or a snapshot shows the picture.
A month that retention drops is first taken out of ``events``; its table is dropped once its pictures are recorded.

New tables, a trigger and an index only: earlier releases do not use them and are not affected.

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

UP = """
-- Pictures of deleted events that may or may not be shown elsewhere. Several rows may name one picture.
CREATE TABLE released_pictures (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id   text COLLATE "C" NOT NULL,
    camera_id   text COLLATE "C" NOT NULL,
    shown_at    timestamptz NOT NULL,           -- the time of the deleted event
    path        text COLLATE "C" NOT NULL,      -- the key below the prefix of the device, or any other text
    released_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION events_release_pictures() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO released_pictures (device_id, camera_id, shown_at, path)
    SELECT DISTINCT device_id, camera_id, "timestamp", shown.path
    FROM changed CROSS JOIN LATERAL (VALUES
        (snapshot_path), (CASE event_type WHEN 'anpr' THEN event_data ->> 'plate_image_key' END)) AS shown (path)
    WHERE shown.path IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER events_release_pictures AFTER DELETE ON events REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION events_release_pictures();

-- Tables of months that are no longer part of ``events``, and how far their pictures have been recorded.
CREATE TABLE expired_months (
    name            text COLLATE "C" PRIMARY KEY,
    -- Time and id of the last event that was read.
    recorded_until  timestamptz NOT NULL DEFAULT '0001-01-01 00:00:00+00',
    recorded_id     bigint NOT NULL DEFAULT 0,
    expired_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX plate_events_plate_image_idx ON plate_events (plate_image_key) WHERE plate_image_key IS NOT NULL;
"""

# The tables of expired months hold no event of the database any more.
DOWN = """
DO $$
DECLARE
    month text;
BEGIN
    FOR month IN SELECT name FROM expired_months LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', month);
    END LOOP;
END
$$;
DROP INDEX plate_events_plate_image_idx;
DROP TRIGGER events_release_pictures ON events;
DROP FUNCTION events_release_pictures();
DROP TABLE released_pictures, expired_months;
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
