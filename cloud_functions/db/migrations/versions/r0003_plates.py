"""Number plates: the columns of ``anpr`` events, and the tables for fast searches and counts.

Triggers update the tables in the transaction that writes or deletes the events, so they are correct for every writer:
ingest, the API, retention, and an operator with psql. The migration needs the extension pg_trgm, which is part of
PostgreSQL and which the owner of a database can create.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- One row for each anpr event, with the event's id and key.
CREATE TABLE plate_events (
    id                    bigint NOT NULL,              -- events.id
    event_id              uuid NOT NULL,                -- with captured_at, also the primary key of the event
    site_id               text COLLATE "C" NOT NULL,
    device_id             text COLLATE "C" NOT NULL,
    camera_id             text COLLATE "C" NOT NULL,
    host                  text,                         -- the name of the machine, if the device sends it
    captured_at           timestamptz NOT NULL,
    track_id              bigint,
    track_uid             text,
    plate_text            text NOT NULL,                -- as read
    plate_normalized_text text COLLATE "C" NOT NULL,    -- A-Z and 0-9 only
    confidence            double precision NOT NULL,    -- 0 to 1
    region                text COLLATE "C",
    vehicle_type          text,
    vehicle_make          text,
    vehicle_model         text,
    vehicle_color         text,
    vehicle_image_key     text,                         -- the event's snapshot
    plate_image_key       text,
    plate_box             jsonb,                        -- x, y, width, height, each 0 to 1
    latency_ms            double precision,
    quality_score         double precision,
    frame_number          bigint,
    roi                   text,
    direction             text,
    reads                 bigint,                       -- number of frames in the vote
    created_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, captured_at)
);
-- With bytewise collation the index by plate also supports prefixes, like text_pattern_ops.
CREATE INDEX plate_events_plate_idx ON plate_events (plate_normalized_text, captured_at, id);
CREATE INDEX plate_events_time_idx ON plate_events (captured_at, id);
CREATE INDEX plate_events_camera_idx ON plate_events (camera_id, captured_at, id);
CREATE INDEX plate_events_region_idx ON plate_events (region, captured_at, id) WHERE region IS NOT NULL;

-- Each distinct plate with its number of reads, for fuzzy search: it has at most a tenth of the rows of plate_events,
-- and a repeated plate adds no entry to the trigram index. Counts can be 0 after deletes.
-- ``folded``: confusable characters are replaced by one of them, so that confusing them changes no trigram.
CREATE TABLE plates (
    plate_normalized_text text COLLATE "C" PRIMARY KEY,
    folded                text COLLATE "C" NOT NULL
                          GENERATED ALWAYS AS (translate(plate_normalized_text, 'ODQIBSZG', '00018526')) STORED,
    events                bigint NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
-- Every search scans the pending list, so it is short.
CREATE INDEX plates_folded_trgm_idx ON plates USING gin (folded gin_trgm_ops) WITH (gin_pending_list_limit = 128);

-- Sums by camera, in whole millionths and microseconds, so that subtracting an added value is exact.
CREATE TABLE plate_camera_counts (
    camera_id         text COLLATE "C" NOT NULL,
    site_id           text COLLATE "C" NOT NULL,
    events            bigint NOT NULL,
    confidence_micros numeric NOT NULL,
    latency_events    bigint NOT NULL,                  -- those with a latency
    latency_micros    numeric NOT NULL,
    PRIMARY KEY (camera_id, site_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- The number of plates with events is the sum of all rows. A writer changes the row of its connection's number, so that
-- writers do not wait for each other. A single row has no meaning and can be negative.
CREATE TABLE plate_distinct_counts (
    slot   integer PRIMARY KEY,
    plates bigint NOT NULL
) WITH (fillfactor = 20);
"""

KEEPING = """
CREATE OR REPLACE FUNCTION events_keep_plates() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed WHERE license_plate IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO plate_events (
            id, event_id, site_id, device_id, camera_id, host, captured_at, track_id, track_uid, plate_text,
            plate_normalized_text, confidence, region, vehicle_type, vehicle_make, vehicle_model, vehicle_color,
            vehicle_image_key, plate_image_key, plate_box, latency_ms, quality_score, frame_number, roi, direction,
            reads, created_at)
        SELECT id, event_id, site_id, device_id, camera_id, event_data ->> 'host', "timestamp",
               (event_data ->> 'track_id')::bigint, event_data ->> 'track_uid',
               COALESCE(event_data #>> '{anpr_result,license_plate}', license_plate), license_plate,
               COALESCE(confidence, 0), event_data #>> '{anpr_result,region}', event_data #>> '{vehicle,type}',
               event_data #>> '{vehicle,make}', event_data #>> '{vehicle,model}', event_data #>> '{vehicle,color}',
               snapshot_path, event_data ->> 'plate_image_key', NULLIF(event_data -> 'plate_box', 'null'),
               (event_data ->> 'latency_ms')::double precision, (event_data ->> 'quality_score')::double precision,
               frame_number, event_data ->> 'roi', event_data ->> 'direction', (event_data ->> 'reads')::bigint,
               created_at
        FROM changed WHERE license_plate IS NOT NULL ORDER BY event_id
        ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM plate_events AS p USING changed AS c
        WHERE c.license_plate IS NOT NULL AND p.event_id = c.event_id AND p.captured_at = c."timestamp";
    END IF;
    RETURN NULL;
END
$$;
"""

TRIGGERS = """
CREATE TRIGGER events_plates_inserts AFTER INSERT ON events REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION events_keep_plates();
CREATE TRIGGER events_plates_deletes AFTER DELETE ON events REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION events_keep_plates();

-- As for the counts of events, rows are locked in key order and tables in one order, so that writers do not deadlock.
CREATE FUNCTION plate_events_count_changes() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    sign bigint := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
    appeared bigint;
BEGIN
    WITH delta AS MATERIALIZED (
        SELECT plate_normalized_text AS plate, sign * count(*) AS events FROM changed GROUP BY 1
    ), written AS (
        INSERT INTO plates AS p (plate_normalized_text, events) SELECT plate, events FROM delta ORDER BY 1
        ON CONFLICT (plate_normalized_text) DO UPDATE SET events = p.events + EXCLUDED.events
        RETURNING p.plate_normalized_text AS plate, p.events
    )
    SELECT count(*) FILTER (WHERE delta.events > 0 AND written.events = delta.events)
           - count(*) FILTER (WHERE delta.events < 0 AND written.events = 0)
    INTO appeared FROM written JOIN delta USING (plate);

    INSERT INTO plate_camera_counts AS c (camera_id, site_id, events, confidence_micros, latency_events, latency_micros)
    SELECT camera_id, site_id, sign * count(*), sign * sum(round(confidence::numeric * 1000000)),
           sign * count(latency_ms), sign * COALESCE(sum(round(latency_ms::numeric * 1000)), 0)
    FROM changed GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (camera_id, site_id) DO UPDATE SET
        events = c.events + EXCLUDED.events,
        confidence_micros = c.confidence_micros + EXCLUDED.confidence_micros,
        latency_events = c.latency_events + EXCLUDED.latency_events,
        latency_micros = c.latency_micros + EXCLUDED.latency_micros;

    IF appeared <> 0 THEN
        INSERT INTO plate_distinct_counts AS d (slot, plates) VALUES (pg_backend_pid() % 32, appeared)
        ON CONFLICT (slot) DO UPDATE SET plates = d.plates + EXCLUDED.plates;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER plate_events_count_inserts AFTER INSERT ON plate_events REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION plate_events_count_changes();
CREATE TRIGGER plate_events_count_deletes AFTER DELETE ON plate_events REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION plate_events_count_changes();

CREATE FUNCTION events_truncate_plates() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE plate_events, plates, plate_camera_counts, plate_distinct_counts;
    RETURN NULL;
END
$$;
CREATE TRIGGER events_plates_truncates AFTER TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_truncate_plates();
"""

VIEWS = """
CREATE VIEW plate_events_stats AS
SELECT COALESCE(sum(events), 0)::bigint AS total_events,
       (SELECT COALESCE(sum(plates), 0)::bigint FROM plate_distinct_counts) AS unique_plates,
       count(DISTINCT camera_id) AS active_cameras,
       (sum(confidence_micros) / 1000000 / NULLIF(sum(events), 0))::double precision AS avg_confidence,
       (sum(latency_micros) / 1000 / NULLIF(sum(latency_events), 0))::double precision AS avg_latency_ms
FROM plate_camera_counts WHERE events > 0;

CREATE VIEW plate_events_recent AS
SELECT * FROM plate_events WHERE captured_at > now() - interval '24 hours' ORDER BY captured_at DESC, id DESC;
"""

BACKFILL = """
INSERT INTO plate_events (
    id, event_id, site_id, device_id, camera_id, host, captured_at, track_id, track_uid, plate_text,
    plate_normalized_text, confidence, region, vehicle_type, vehicle_make, vehicle_model, vehicle_color,
    vehicle_image_key, plate_image_key, plate_box, latency_ms, quality_score, frame_number, roi, direction,
    reads, created_at)
SELECT id, event_id, site_id, device_id, camera_id, event_data ->> 'host', "timestamp",
       (event_data ->> 'track_id')::bigint, event_data ->> 'track_uid',
       COALESCE(event_data #>> '{anpr_result,license_plate}', license_plate), license_plate,
       COALESCE(confidence, 0), event_data #>> '{anpr_result,region}', event_data #>> '{vehicle,type}',
       event_data #>> '{vehicle,make}', event_data #>> '{vehicle,model}', event_data #>> '{vehicle,color}',
       snapshot_path, event_data ->> 'plate_image_key', NULLIF(event_data -> 'plate_box', 'null'),
       (event_data ->> 'latency_ms')::double precision, (event_data ->> 'quality_score')::double precision,
       frame_number, event_data ->> 'roi', event_data ->> 'direction', (event_data ->> 'reads')::bigint,
       created_at
FROM events WHERE license_plate IS NOT NULL;
"""

# This also drops the extension, which the upgrade created. PostgreSQL raises an error if other objects use it.
DOWN = """
DROP TRIGGER events_plates_inserts ON events;
DROP TRIGGER events_plates_deletes ON events;
DROP TRIGGER events_plates_truncates ON events;
DROP VIEW plate_events_stats, plate_events_recent;
DROP TABLE plate_events, plates, plate_camera_counts, plate_distinct_counts;
DROP FUNCTION events_keep_plates(), events_truncate_plates(), plate_events_count_changes();
DROP EXTENSION pg_trgm;
"""


def upgrade() -> None:
    for script in (TABLES, KEEPING, TRIGGERS, VIEWS, BACKFILL):
        run_sql(script)


def downgrade() -> None:
    run_sql(DOWN)
