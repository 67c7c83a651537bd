"""Create partitions without long locks, and find an event_id or a snapshot regardless of the event's time.

``events_ensure_partition`` waits at most 0.25 s for a lock and holds it only briefly. If the default partition has many
events, maintenance moves them in batches (see ``db/partitions/move.py``).

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql
from cloud_functions.db.migrations.versions.r0006_protected_plates import EVENTS

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UP = """
-- Creates the partition of the UTC month of ``moment`` and returns whether it was created. It is not created if it
-- exists, if the default partition has too many events (of that month, or in total, because attaching scans all of it
-- under an exclusive lock), or if there are very many partitions already.
CREATE OR REPLACE FUNCTION events_ensure_partition(moment timestamptz) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '250ms' AS $$
DECLARE
    month_start timestamptz := date_trunc('month', moment, 'UTC');
    month_end timestamptz := date_trunc('month', month_start + interval '32 days', 'UTC');
    partition_name text := 'events_' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY_MM');
    columns text;
    strays bigint;
BEGIN
    IF to_regclass(partition_name) IS NOT NULL OR pg_relation_size('events_default') > 33554432
       OR (SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass) >= 400 THEN
        RETURN false;
    END IF;
    LOCK TABLE ONLY events IN SHARE UPDATE EXCLUSIVE MODE;  -- one at a time; hinders no reader and no writer
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN false;  -- another session made it while this one waited
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING ALL)', partition_name);
    LOCK TABLE events_default IN ACCESS EXCLUSIVE MODE;
    SELECT count(*) INTO strays
    FROM (SELECT FROM events_default
          WHERE "timestamp" >= month_start AND "timestamp" < month_end LIMIT 1001) AS counted;
    IF strays > 1000 THEN
        EXECUTE format('DROP TABLE %I', partition_name);
        RETURN false;
    END IF;
    IF strays > 0 THEN
        -- Writing to a partition directly fires no trigger of events: counts stay as they are.
        SELECT string_agg(quote_ident(attname), ', ') INTO columns FROM pg_attribute
        WHERE attrelid = 'events'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
        EXECUTE format('WITH moved AS (DELETE FROM events_default WHERE "timestamp" >= %L AND "timestamp" < %L
                        RETURNING %s) INSERT INTO %I (%s) SELECT %s FROM moved',
            month_start, month_end, columns, partition_name, columns, columns);
    END IF;
    EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition_name, month_start, month_end);
    RETURN true;
END
$$;

-- At most one row: the progress of maintenance in copying the default partition into events_moving. Without a row, no
-- move is in progress.
CREATE TABLE event_move (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision     text COLLATE "C" NOT NULL,     -- the schema for which events_moving was created
    copied_until timestamptz NOT NULL,          -- with copied_id: all events up to here are in both tables
    copied_id    bigint NOT NULL,
    complete     boolean NOT NULL DEFAULT false,
    events       bigint NOT NULL DEFAULT 0,
    started_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 20);

-- Events whose time differs from that in their event_id (UUIDv7) or in the key of their snapshot, so that they can be
-- found by either. Ingest writes the rows; the event may have been deleted since.
CREATE TABLE event_odd_times (
    event_id      uuid NOT NULL,
    "timestamp"   timestamptz NOT NULL,
    device_id     text COLLATE "C" NOT NULL,
    snapshot_path text COLLATE "C",             -- NULL if the snapshot's key has the event's camera and time
    is_odd_id     boolean NOT NULL              -- whether the event_id has another time or none
);
CREATE INDEX event_odd_times_event_idx ON event_odd_times (event_id) WHERE is_odd_id;
CREATE INDEX event_odd_times_snapshot_idx ON event_odd_times (snapshot_path, device_id)
    WHERE snapshot_path IS NOT NULL;

-- Maintenance tasks that failed or did not finish, to be retried before their next scheduled run.
CREATE TABLE maintenance_retries (
    task     text COLLATE "C" PRIMARY KEY,
    failures integer NOT NULL DEFAULT 1,        -- in a row
    due_at   timestamptz NOT NULL
);
"""

# During a move, all events in events_moving are also in events_default.
DOWN = """
DROP TABLE IF EXISTS events_moving;
DROP FUNCTION IF EXISTS events_mirror() CASCADE;
DROP TABLE event_move, event_odd_times, maintenance_retries;
"""
_, _, _ENSURE_PARTITION = EVENTS.partition("ALTER TABLE events ADD COLUMN plate_sealed bytea;")


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
    run_sql(_ENSURE_PARTITION)
