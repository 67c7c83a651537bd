"""Cameras, their groups, their health over time, and the wrapped keys that seal their passwords.

New tables only: earlier releases do not use them and are not affected. A camera's events are not linked to it by a
foreign key: they have its slug as ``camera_id``, come before the camera is created and stay after it is deleted.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE camera_groups (
    id          uuid PRIMARY KEY,
    slug        text COLLATE "C" NOT NULL,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    description text,
    location    text,
    version     bigint NOT NULL DEFAULT 1,        -- raised by each change
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX camera_groups_slug_idx ON camera_groups (lower(slug));
CREATE UNIQUE INDEX camera_groups_name_idx ON camera_groups (lower(name));

CREATE TABLE cameras (
    id                    uuid PRIMARY KEY,
    slug                  text COLLATE "C" NOT NULL,  -- the camera_id of events and topics; never changes
    name                  text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    rtsp_url              text NOT NULL CHECK (length(rtsp_url) BETWEEN 1 AND 2048),  -- without a login
    username              text,
    password_sealed       bytea,                      -- see privacy/camera_passwords.py
    device_id             text COLLATE "C",           -- of the agent that runs the camera
    group_id              uuid REFERENCES camera_groups ON DELETE SET NULL,
    location              text,
    resolution            text,
    fps                   double precision CHECK (fps > 0),
    codec                 text,
    is_active             boolean NOT NULL DEFAULT true,
    enable_detection      boolean NOT NULL DEFAULT true,
    detection_sensitivity double precision NOT NULL DEFAULT 0.7 CHECK (detection_sensitivity BETWEEN 0 AND 1),
    retention_days        integer CHECK (retention_days > 0),  -- of its snapshots; NULL: as the deployment
    settings              jsonb NOT NULL DEFAULT '{}',         -- shared/cameras.CameraConfig
    config_version        bigint NOT NULL DEFAULT 1,           -- raised by each change
    last_connected        timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX cameras_slug_idx ON cameras (lower(slug));
CREATE INDEX cameras_group_idx ON cameras (group_id);
CREATE INDEX cameras_device_idx ON cameras (device_id);
CREATE INDEX cameras_name_idx ON cameras (lower(name));
CREATE INDEX cameras_url_idx ON cameras (md5(rtsp_url));  -- a URL may be longer than an index entry

-- One row a minute for each camera that an agent reports, and one for each change of its status.
CREATE TABLE camera_health (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    camera_id    uuid NOT NULL REFERENCES cameras ON DELETE CASCADE,
    status       text COLLATE "C" NOT NULL,
    is_connected boolean NOT NULL,
    latency_ms   integer,
    fps_actual   double precision,
    error        text,
    last_check   timestamptz NOT NULL DEFAULT now(),
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX camera_health_camera_idx ON camera_health (camera_id, last_check DESC, id DESC);
CREATE INDEX camera_health_last_check_idx ON camera_health (last_check);

-- Data keys of camera passwords, each wrapped by a master key that is elsewhere; the newest one seals.
CREATE TABLE camera_keys (
    key_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wrapped_key bytea NOT NULL,
    wrapped_by  text COLLATE "C" NOT NULL,  -- kms:ARN or file:NAME
    created_at  timestamptz NOT NULL DEFAULT now(),
    wrapped_at  timestamptz NOT NULL DEFAULT now()
);
"""

DOWN = "DROP TABLE camera_health, cameras, camera_groups, camera_keys;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
