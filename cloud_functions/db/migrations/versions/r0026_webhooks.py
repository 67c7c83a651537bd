"""Webhooks, and what is delivered to each of them.

New tables only: earlier releases do not use them and are not affected.

Revision ID: 0026
Revises: 0025
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE webhooks (
    id                 uuid PRIMARY KEY,
    name               text NOT NULL,
    url                text NOT NULL,
    filter             jsonb NOT NULL DEFAULT '{}',  -- conditions on events, named as in GET /events
    groups             text[],  -- slugs of the camera groups it is limited to; NULL for no limit
    enabled            boolean NOT NULL DEFAULT true,
    disabled_reason    text COLLATE "C" CHECK (disabled_reason IN ('gone', 'failing')),  -- NULL: by a caller
    secret             bytea NOT NULL,  -- signs deliveries; wrapped by the master key
    secret_wrapped_by  text NOT NULL,
    previous_secret    bytea,  -- signs too, until previous_until
    previous_wrapped_by text,
    previous_until     timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    -- The state of its deliveries.
    failures           integer NOT NULL DEFAULT 0,  -- since the last success
    failing_since      timestamptz,
    last_success_at    timestamptz,
    paused_until       timestamptz,
    lease              uuid,  -- of the process that delivers to it
    leased_until       timestamptz
);
CREATE UNIQUE INDEX webhooks_name_idx ON webhooks (lower(name));

CREATE TABLE webhook_deliveries (
    number           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id       uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    message_id       uuid NOT NULL,  -- event_id of the document
    event_id         bigint,  -- id and timestamp of the stored event; NULL for a test
    event_time       timestamptz,
    event_type       text COLLATE "C" NOT NULL,
    document         text NOT NULL,
    status           text COLLATE "C" NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts         integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL DEFAULT now(),
    last_attempt_at  timestamptz,
    response_status  integer,
    error            text,
    duration_ms      integer,
    created_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_deliveries_message_key UNIQUE (webhook_id, message_id)
);
CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (webhook_id, next_attempt_at, number)
    WHERE status = 'pending';
CREATE INDEX webhook_deliveries_log_idx ON webhook_deliveries (webhook_id, number DESC);
"""

DOWN = "DROP TABLE webhook_deliveries, webhooks;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
