"""Retention policies by age and size, and legal holds, which no deletion passes.

New tables, a view and a function only: earlier releases do not use them and are not affected. They do not respect
holds, so place the first hold when every function has been upgraded.

Revision ID: 0034
Revises: 0033
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

UP = """
-- A policy is for a camera, a camera group, a site, or everything, and for one type of event or all types.
CREATE TABLE retention_policies (
    policy_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    camera_id    text COLLATE "C",
    group_id     uuid REFERENCES camera_groups ON DELETE CASCADE,
    site_id      text COLLATE "C",
    event_type   text COLLATE "C",
    max_age_days integer CHECK (max_age_days BETWEEN 1 AND 36500),
    max_bytes    bigint CHECK (max_bytes > 0),     -- of the events and their pictures
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(camera_id, group_id, site_id) <= 1),
    CHECK (num_nonnulls(max_age_days, max_bytes) >= 1)
);
CREATE UNIQUE INDEX retention_policies_target_idx ON retention_policies (
    COALESCE(camera_id, ''), COALESCE(group_id::text, ''), COALESCE(site_id, ''), COALESCE(event_type, ''));

-- The policy that limits the age, or the size, of a camera's events of one type: the most specific one. One for a type
-- precedes one for all types; then one for a camera precedes one for its group, its site, and everything.
CREATE FUNCTION retention_policy(camera text, type text, site text, by_size boolean) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT policy_id FROM retention_policies AS p
    WHERE (p.camera_id IS NULL OR p.camera_id = camera) AND (p.site_id IS NULL OR p.site_id = site)
      AND (p.event_type IS NULL OR p.event_type = type)
      AND (p.group_id IS NULL OR p.group_id = (
          SELECT c.group_id FROM cameras AS c WHERE lower(c.slug) = lower(camera) AND c.slug = camera))
      AND CASE WHEN by_size THEN p.max_bytes IS NOT NULL ELSE p.max_age_days IS NOT NULL END
    ORDER BY p.event_type IS NULL, p.camera_id IS NULL, p.group_id IS NULL, p.site_id IS NULL LIMIT 1
$$;

-- Bytes of the events of a day, with the number of events when they were measured: another number is out of date.
CREATE TABLE event_sizes (
    day        timestamptz NOT NULL,
    camera_id  text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    site_id    text COLLATE "C" NOT NULL,
    events     bigint NOT NULL,
    bytes      bigint NOT NULL,
    PRIMARY KEY (day, camera_id, event_type, site_id)
);

CREATE TABLE legal_holds (
    hold_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name           text NOT NULL,                  -- of the case
    reason         text NOT NULL,
    placed_by      text NOT NULL,
    placed_at      timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz,                    -- NULL: until it is released
    released_at    timestamptz,
    released_by    text,
    release_reason text,
    CHECK ((released_at IS NULL) = (released_by IS NULL))
);

-- What a hold protects: one event, or the events of a camera (NULL: of all) in a time, both ends included (NULL: open).
CREATE TABLE legal_hold_items (
    item_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hold_id   bigint NOT NULL REFERENCES legal_holds ON DELETE CASCADE,
    event_id  uuid,
    camera_id text COLLATE "C",                    -- with event_id: its camera and time, for pictures and months
    starts_at timestamptz,
    ends_at   timestamptz,
    CHECK (ends_at >= starts_at)
);
CREATE INDEX legal_hold_items_hold_idx ON legal_hold_items (hold_id);
CREATE INDEX legal_hold_items_event_idx ON legal_hold_items (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX legal_hold_items_camera_idx ON legal_hold_items (camera_id, starts_at);

CREATE VIEW active_holds AS
SELECT hold_id, name, event_id, camera_id, starts_at, ends_at FROM legal_holds JOIN legal_hold_items USING (hold_id)
WHERE released_at IS NULL AND (expires_at IS NULL OR expires_at > now());
"""

DOWN = """
DROP VIEW active_holds;
DROP FUNCTION retention_policy(text, text, text, boolean);
DROP TABLE retention_policies, event_sizes, legal_hold_items, legal_holds;
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
