"""Events, their counts, devices and sequence gaps.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EVENTS = """
CREATE SEQUENCE events_id_seq AS bigint;

-- The highest score in an event of any type; NULL if the type has no score.
CREATE FUNCTION event_confidence(event_type text, event_data jsonb) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE event_type
        WHEN 'tracking' THEN (event_data -> 'confidence')::double precision
        WHEN 'anpr' THEN (event_data #> '{anpr_result,confidence}')::double precision
        WHEN 'detection' THEN (SELECT max((found -> 'confidence')::double precision)
                               FROM jsonb_array_elements(event_data -> 'detections') AS found)
    END
$$;

-- Names are identifiers and are compared bytewise (COLLATE "C"), which is several times faster than by locale.
CREATE TABLE events (
    id             bigint NOT NULL DEFAULT nextval('events_id_seq'),
    event_id       uuid NOT NULL,             -- created on the device; unique together with the timestamp
    site_id        text COLLATE "C" NOT NULL,
    device_id      text COLLATE "C" NOT NULL,
    camera_id      text COLLATE "C" NOT NULL,
    event_type     text COLLATE "C" NOT NULL,
    "timestamp"    timestamptz NOT NULL,      -- capture time
    frame_number   bigint,
    sequence       bigint,                    -- number among the device's events of the epoch
    sequence_epoch text COLLATE "C",
    snapshot_path  text COLLATE "C",          -- the snapshot's key, or NULL
    snapshot       jsonb,                     -- the whole reference: key, size, digest
    event_data     jsonb NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    -- Columns for the API's filters. They are generated, so that they always agree with event_data.
    class_names    jsonb GENERATED ALWAYS AS (CASE event_type
                       WHEN 'tracking' THEN jsonb_path_query_array(event_data, '$.class_name')
                       WHEN 'detection' THEN
                           NULLIF(jsonb_path_query_array(event_data, '$.detections[0 to 255].class_name'), '[]')
                   END) STORED,               -- array of strings, with repeats: class_names ? 'person'
    zones          jsonb GENERATED ALWAYS AS (CASE WHEN event_type = 'tracking' AND event_data ? 'zones' THEN
                       NULLIF(jsonb_path_query_array(event_data, '$.zones[0 to 255]'), '[]') END) STORED,
    confidence     double precision GENERATED ALWAYS AS (CASE event_type
                       WHEN 'tracking' THEN (event_data -> 'confidence')::double precision
                       WHEN 'motion' THEN NULL
                       ELSE event_confidence(event_type, event_data) END) STORED,
    license_plate  text COLLATE "C" GENERATED ALWAYS AS (CASE event_type
                       WHEN 'anpr' THEN event_data ->> 'plate_normalized' END) STORED,
    PRIMARY KEY (event_id, "timestamp")
) PARTITION BY RANGE ("timestamp");

ALTER SEQUENCE events_id_seq OWNED BY events.id;

CREATE INDEX events_id_idx ON events (id);
CREATE INDEX events_time_idx ON events ("timestamp" DESC, id DESC);
CREATE INDEX events_camera_time_idx ON events (camera_id, "timestamp" DESC, id DESC);
CREATE INDEX events_type_time_idx ON events (event_type, "timestamp" DESC, id DESC);
CREATE INDEX events_camera_type_time_idx ON events (camera_id, event_type, "timestamp" DESC, id DESC);
CREATE INDEX events_plate_time_idx ON events (license_plate, "timestamp" DESC, id DESC) WHERE license_plate IS NOT NULL;
CREATE INDEX events_class_names_idx ON events USING gin (class_names) WHERE class_names IS NOT NULL;
CREATE INDEX events_zones_idx ON events USING gin (zones) WHERE zones IS NOT NULL;
"""

PARTITIONS = """
-- Events of months without a partition are stored here until maintenance creates the partition.
CREATE TABLE events_default PARTITION OF events DEFAULT;
"""

ENSURE_PARTITION = """
-- Creates the partition of the UTC month of ``moment``, moves its events from the default partition into it, and
-- returns whether it was created. Writing to a partition fires no trigger of events, so the counts do not change.
CREATE OR REPLACE FUNCTION events_ensure_partition(moment timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    month_start timestamptz := date_trunc('month', moment, 'UTC');
    month_end timestamptz := date_trunc('month', month_start + interval '32 days', 'UTC');
    partition_name text := 'events_' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE events_default IN ACCESS EXCLUSIVE MODE;
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN false;  -- another session made it while this one waited
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING ALL)', partition_name);
    EXECUTE format('WITH moved AS (DELETE FROM events_default WHERE "timestamp" >= %L AND "timestamp" < %L RETURNING *)
        INSERT INTO %I (id, event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence,
                        sequence_epoch, snapshot_path, snapshot, event_data, created_at)
        SELECT id, event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence,
               sequence_epoch, snapshot_path, snapshot, event_data, created_at FROM moved',
        month_start, month_end, partition_name);
    EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition_name, month_start, month_end);
    RETURN true;
END
$$;
"""

FIRST_PARTITIONS = """
SELECT events_ensure_partition(date_trunc('month', now(), 'UTC') + make_interval(months => ahead))
FROM generate_series(-1, 3) AS ahead;
"""

COUNTS = """
-- Exact counts. Triggers update them in the transaction that writes the events, so they are correct for every writer.
-- Counts can be 0 after deletes. fillfactor leaves room for updates in place.
CREATE TABLE event_counts (
    hour       timestamptz NOT NULL,
    camera_id  text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    site_id    text COLLATE "C" NOT NULL,
    events     bigint NOT NULL,
    PRIMARY KEY (hour, camera_id, event_type, site_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- The same by UTC day, so that a year of hundreds of cameras is counted in milliseconds.
CREATE TABLE event_counts_daily (
    day        timestamptz NOT NULL,
    camera_id  text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    site_id    text COLLATE "C" NOT NULL,
    events     bigint NOT NULL,
    PRIMARY KEY (day, camera_id, event_type, site_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX event_counts_daily_camera_idx ON event_counts_daily (camera_id, day);

-- The number of events with a label: kind 'class' (class_names) or 'zone' (zones). An event with two classes counts for
-- both, so only sums over one label are meaningful.
CREATE TABLE event_label_counts (
    kind       text COLLATE "C" NOT NULL CHECK (kind IN ('class', 'zone')),
    label      text COLLATE "C" NOT NULL,
    hour       timestamptz NOT NULL,
    camera_id  text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    site_id    text COLLATE "C" NOT NULL,
    events     bigint NOT NULL,
    PRIMARY KEY (kind, label, hour, camera_id, event_type, site_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE event_label_counts_daily (
    kind       text COLLATE "C" NOT NULL CHECK (kind IN ('class', 'zone')),
    label      text COLLATE "C" NOT NULL,
    day        timestamptz NOT NULL,
    camera_id  text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    site_id    text COLLATE "C" NOT NULL,
    events     bigint NOT NULL,
    PRIMARY KEY (kind, label, day, camera_id, event_type, site_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

"""

COUNTING = """
-- Rows are locked in key order and tables in one order, so that concurrent writers wait and do not deadlock.
CREATE OR REPLACE FUNCTION events_count_changes() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    sign bigint := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
BEGIN
    WITH hourly AS MATERIALIZED (
        SELECT date_trunc('hour', "timestamp", 'UTC') AS hour, camera_id, event_type, site_id, sign * count(*) AS events
        FROM changed GROUP BY 1, 2, 3, 4
    ), by_hour AS (
        INSERT INTO event_counts AS c (hour, camera_id, event_type, site_id, events)
        SELECT hour, camera_id, event_type, site_id, events FROM hourly ORDER BY 1, 2, 3, 4
        ON CONFLICT (hour, camera_id, event_type, site_id) DO UPDATE SET events = c.events + EXCLUDED.events
    )
    INSERT INTO event_counts_daily AS c (day, camera_id, event_type, site_id, events)
    SELECT date_trunc('day', hour, 'UTC'), camera_id, event_type, site_id, sum(events) FROM hourly
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (day, camera_id, event_type, site_id) DO UPDATE SET events = c.events + EXCLUDED.events;

    WITH hourly AS MATERIALIZED (
        SELECT l.kind, l.label, date_trunc('hour', e."timestamp", 'UTC') AS hour, e.camera_id, e.event_type, e.site_id,
               sign * count(*) AS events
        FROM changed AS e, LATERAL (
            SELECT DISTINCT 'class' AS kind, label FROM jsonb_array_elements_text(e.class_names) AS label
            UNION ALL
            SELECT DISTINCT 'zone', label FROM jsonb_array_elements_text(e.zones) AS label
        ) AS l
        GROUP BY 1, 2, 3, 4, 5, 6
    ), by_hour AS (
        INSERT INTO event_label_counts AS c (kind, label, hour, camera_id, event_type, site_id, events)
        SELECT kind, label, hour, camera_id, event_type, site_id, events FROM hourly ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (kind, label, hour, camera_id, event_type, site_id)
            DO UPDATE SET events = c.events + EXCLUDED.events
    )
    INSERT INTO event_label_counts_daily AS c (kind, label, day, camera_id, event_type, site_id, events)
    SELECT kind, label, date_trunc('day', hour, 'UTC'), camera_id, event_type, site_id, sum(events) FROM hourly
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (kind, label, day, camera_id, event_type, site_id)
        DO UPDATE SET events = c.events + EXCLUDED.events;
    RETURN NULL;
END
$$;
"""

TRUNCATING = """
CREATE OR REPLACE FUNCTION events_count_truncate() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE event_counts, event_counts_daily, event_label_counts, event_label_counts_daily;
    RETURN NULL;
END
$$;
"""

COUNT_TRIGGERS = """
CREATE TRIGGER events_count_inserts AFTER INSERT ON events REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION events_count_changes();
CREATE TRIGGER events_count_deletes AFTER DELETE ON events REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION events_count_changes();
CREATE TRIGGER events_count_truncates AFTER TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_count_truncate();
"""

DEVICES = """
CREATE TABLE devices (
    device_id     text COLLATE "C" PRIMARY KEY,
    site_id       text COLLATE "C" NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(), -- by the cloud's clock; exact to a few seconds
    status        text CHECK (status IN ('online', 'offline')),
    status_at     timestamptz,
    agent_version text,
    heartbeat     jsonb,                              -- the latest one, complete
    heartbeat_at  timestamptz
) WITH (fillfactor = 70);

-- The highest known sequence of each outbox. The row is also the lock for changes of its gaps.
CREATE TABLE device_sequences (
    device_id        text COLLATE "C" NOT NULL,
    sequence_epoch   text COLLATE "C" NOT NULL,
    site_id          text COLLATE "C" NOT NULL,
    highest          bigint NOT NULL,            -- every sequence up to this one has arrived or is in a gap
    previous_highest bigint NOT NULL DEFAULT 0,  -- the value before the latest change
    started_at       timestamptz NOT NULL DEFAULT now(),
    changed_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, sequence_epoch)
) WITH (fillfactor = 50);

-- One row for each gap. It is open while a sequence is missing, closed after all have arrived, and lost if the device
-- no longer has some of them and no other is missing.
CREATE TABLE sequence_gaps (
    gap_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id       text COLLATE "C" NOT NULL,
    sequence_epoch  text COLLATE "C" NOT NULL,
    site_id         text COLLATE "C" NOT NULL,
    first_sequence  bigint NOT NULL,             -- when the gap was opened, both included
    last_sequence   bigint NOT NULL,
    missing         int8multirange NOT NULL,     -- not received yet
    lost            int8multirange NOT NULL DEFAULT '{}',
    state           text COLLATE "C" NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed', 'lost')),
    opened_at       timestamptz NOT NULL DEFAULT now(),
    requested_at    timestamptz,                 -- time of the last resend request
    next_request_at timestamptz NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    closed_at       timestamptz,
    CHECK (first_sequence <= last_sequence),
    CHECK ((state = 'open') = (NOT isempty(missing)))
);
CREATE INDEX sequence_gaps_unfilled_idx ON sequence_gaps (device_id, sequence_epoch, first_sequence)
    WHERE state <> 'closed';
CREATE INDEX sequence_gaps_due_idx ON sequence_gaps (next_request_at) WHERE state = 'open';
CREATE INDEX sequence_gaps_device_idx ON sequence_gaps (device_id, sequence_epoch, opened_at DESC);
"""

DOWN = """
DROP TABLE sequence_gaps, device_sequences, devices;
DROP TABLE events CASCADE;
DROP FUNCTION events_count_changes(), events_count_truncate(), events_ensure_partition(timestamptz),
    event_confidence(text, jsonb);
DROP TABLE event_counts, event_counts_daily, event_label_counts, event_label_counts_daily;
"""


def upgrade() -> None:
    for script in (
        EVENTS,
        PARTITIONS,
        ENSURE_PARTITION,
        FIRST_PARTITIONS,
        COUNTS,
        COUNTING,
        TRUNCATING,
        COUNT_TRIGGERS,
        DEVICES,
    ):
        run_sql(script)


def downgrade() -> None:
    run_sql(DOWN)
