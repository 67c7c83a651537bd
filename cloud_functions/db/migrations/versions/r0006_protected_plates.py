"""Protected plates: the sites with sealed plates, their keys, and the retention of each site.

An event of a protected site has a token (``~`` and a keyed hash) in place of the plate, and its sealed data in a
separate column. Indexes, counts and triggers therefore work as before. The database rejects unsealed plates of
protected sites.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql
from cloud_functions.db.migrations.versions.r0001_events import ENSURE_PARTITION
from cloud_functions.db.migrations.versions.r0003_plates import KEEPING

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SITES = """
-- Sites with their own settings. A site without a row is not protected and has the deployment's retention.
CREATE TABLE sites (
    site_id              text COLLATE "C" PRIMARY KEY,
    plates_protected     boolean NOT NULL DEFAULT false,
    plate_retention_days integer CHECK (plate_retention_days > 0),  -- of anpr events; NULL: as event_retention_days
    event_retention_days integer CHECK (event_retention_days > 0),  -- of all events; NULL: as the deployment
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now()
);

-- A site's data keys, each wrapped by a master key that is not in the database. The newest key seals. After a key is
-- deleted, data sealed with it can never be read again.
CREATE TABLE site_keys (
    key_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id     text COLLATE "C" NOT NULL REFERENCES sites,
    wrapped_key bytea NOT NULL,
    wrapped_by  text COLLATE "C" NOT NULL,                          -- kms:ARN or file:NAME
    created_at  timestamptz NOT NULL DEFAULT now(),
    wrapped_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX site_keys_site_idx ON site_keys (site_id, key_id);

-- One row. Every transaction that changes one of the tables increases its number.
CREATE TABLE sites_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL
) WITH (fillfactor = 20);
INSERT INTO sites_version (version) VALUES (1);

CREATE FUNCTION sites_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sites_version SET version = version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER sites_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON sites
    FOR EACH STATEMENT EXECUTE FUNCTION sites_changed();
CREATE TRIGGER site_keys_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON site_keys
    FOR EACH STATEMENT EXECUTE FUNCTION sites_changed();
"""

EVENTS = """
-- The whole event_data of a protected plate, sealed; event_data then has the readable part (see privacy/sealing.py).
ALTER TABLE events ADD COLUMN plate_sealed bytea;

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
                        sequence_epoch, snapshot_path, snapshot, event_data, created_at, plate_sealed)
        SELECT id, event_id, site_id, device_id, camera_id, event_type, "timestamp", frame_number, sequence,
               sequence_epoch, snapshot_path, snapshot, event_data, created_at, plate_sealed FROM moved',
        month_start, month_end, partition_name);
    EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition_name, month_start, month_end);
    RETURN true;
END
$$;
"""

PLATES = """
CREATE OR REPLACE FUNCTION events_keep_plates() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    exposed text;
BEGIN
    IF NOT EXISTS (SELECT FROM changed WHERE license_plate IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        -- Whoever protects a site waits for this transaction, so none that was open then lets a plate through.
        PERFORM pg_advisory_xact_lock_shared(8459402173);
        SELECT site_id INTO exposed FROM changed JOIN sites USING (site_id)
        WHERE plates_protected AND license_plate IS NOT NULL AND (plate_sealed IS NULL OR license_plate NOT LIKE '~%')
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the plates of site % are protected: this one is not sealed', exposed
                USING ERRCODE = 'VD001';
        END IF;
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

-- Tokens are not similar to plates, so the index for fuzzy search excludes them.
DROP INDEX plates_folded_trgm_idx;
CREATE INDEX plates_folded_trgm_idx ON plates USING gin (folded gin_trgm_ops) WITH (gin_pending_list_limit = 128)
    WHERE plate_normalized_text < '~';
"""

# A downgrade would delete the only copy of sealed plates.
DOWN = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM events WHERE plate_sealed IS NOT NULL) THEN
        RAISE EXCEPTION 'there are sealed plates: open them first (vedette-plates unprotect SITE)';
    END IF;
END
$$;
DROP INDEX plates_folded_trgm_idx;
CREATE INDEX plates_folded_trgm_idx ON plates USING gin (folded gin_trgm_ops) WITH (gin_pending_list_limit = 128);
"""

DROP = """
ALTER TABLE events DROP COLUMN plate_sealed;
DROP TABLE site_keys, sites, sites_version;
DROP FUNCTION sites_changed();
"""


def upgrade() -> None:
    for script in (SITES, EVENTS, PLATES):
        run_sql(script)


def downgrade() -> None:
    for script in (DOWN, KEEPING, ENSURE_PARTITION, DROP):
        run_sql(script)
