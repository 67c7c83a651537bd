"""The configuration of each device: the version that its cameras ask for, and the one that it runs.

A new table, and triggers on ``cameras`` that write it. Earlier releases do not use the table; their changes of cameras
raise the versions too, so a device converges after an upgrade.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE device_configurations (
    device_id        text COLLATE "C" PRIMARY KEY,
    version          bigint NOT NULL DEFAULT 0,  -- desired; 0: no camera was ever assigned to the device
    changed_at       timestamptz NOT NULL DEFAULT now(),
    changed_by       xid8,                       -- the transaction that raised the version
    managed          boolean,                    -- whether the device obeys it; NULL before its first heartbeat
    public_key       text,                       -- X25519, base64: camera passwords are sealed to it
    sent_version     bigint,
    sent_at          timestamptz,
    send_error       text,                       -- why the desired version cannot be sent
    applied_version  bigint,
    applied_at       timestamptz,
    rejected_version bigint,
    error            text,                       -- why the device rejected that version
    reported_at      timestamptz                 -- when the device last reported something new
);

-- Raises the versions of these devices, once in a transaction however many of their cameras it changes. Rows are
-- locked in the order of the device ids, so that two transactions that change cameras of the same devices do not
-- deadlock. A version that the device knows already (the database was restored) is not used again.
CREATE FUNCTION raise_device_configurations(devices text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO device_configurations AS known (device_id, version, changed_by)
    SELECT DISTINCT device_id, 1, pg_current_xact_id() FROM unnest(devices) AS device_id
    WHERE device_id IS NOT NULL ORDER BY device_id
    ON CONFLICT (device_id) DO UPDATE SET
        version = GREATEST(known.version, known.applied_version, known.rejected_version) + 1,
        changed_at = EXCLUDED.changed_at, changed_by = EXCLUDED.changed_by
    WHERE (known.changed_by, known.changed_at) IS DISTINCT FROM (EXCLUDED.changed_by, EXCLUDED.changed_at)
$$;

CREATE FUNCTION cameras_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    devices text[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT device_id) INTO devices FROM after_rows;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT device_id) INTO devices FROM before_rows;
    ELSE
        -- Only what an agent obeys: a new name, group, retention or last connection does not concern it.
        SELECT array_agg(DISTINCT device) INTO devices
        FROM before_rows AS b JOIN after_rows AS a USING (id), unnest(ARRAY[b.device_id, a.device_id]) AS device
        WHERE (b.device_id, b.slug, b.rtsp_url, b.username, b.password_sealed, b.is_active, b.enable_detection,
               b.detection_sensitivity, b.settings) IS DISTINCT FROM
              (a.device_id, a.slug, a.rtsp_url, a.username, a.password_sealed, a.is_active, a.enable_detection,
               a.detection_sensitivity, a.settings);
    END IF;
    IF devices IS NOT NULL THEN
        PERFORM raise_device_configurations(devices);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER cameras_inserted AFTER INSERT ON cameras
    REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION cameras_changed();
CREATE TRIGGER cameras_updated AFTER UPDATE ON cameras
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION cameras_changed();
CREATE TRIGGER cameras_deleted AFTER DELETE ON cameras
    REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION cameras_changed();

INSERT INTO device_configurations (device_id, version)
SELECT DISTINCT device_id, 1 FROM cameras WHERE device_id IS NOT NULL;
"""

DOWN = """
DROP TRIGGER cameras_inserted ON cameras;
DROP TRIGGER cameras_updated ON cameras;
DROP TRIGGER cameras_deleted ON cameras;
DROP FUNCTION cameras_changed();
DROP FUNCTION raise_device_configurations(text[]);
DROP TABLE device_configurations;
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
