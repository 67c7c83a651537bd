"""The order in which events are delivered to WebSockets, and their connections, subscriptions and tickets.

New tables only: earlier releases do not use them and are not affected.

Revision ID: 0033
Revises: 0032
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

UP = """
-- Each event once, in an order that never changes: a position is assigned after the event has become visible, under the
-- lock of event_stream_head, so no lower position appears later. An id does not have this property: it is assigned
-- before the transaction commits.
CREATE TABLE event_stream (
    position   bigint PRIMARY KEY,
    message_id uuid NOT NULL UNIQUE,  -- event_id of the document; of a replay, its own
    number     bigint NOT NULL,       -- id and timestamp of the stored event
    moment     timestamptz NOT NULL,
    document   text,                  -- of a match or a replay; NULL: the stored event itself
    created_at timestamptz NOT NULL DEFAULT now()
);
-- One row, which is made by the first delivery.
CREATE TABLE event_stream_head (
    is_only    boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    position   bigint NOT NULL,       -- of the newest entry
    highest_id bigint NOT NULL        -- events with a lower id that are not in the stream became visible late
);

CREATE TABLE websocket_connections (
    id            text COLLATE "C" PRIMARY KEY,
    subject       text NOT NULL,      -- whose connections are counted
    -- What the connection was authorized by. It ends with that.
    caller        text COLLATE "C" NOT NULL CHECK (caller IN ('anonymous', 'token', 'session', 'api_key', 'issuer')),
    user_id       uuid,
    family        uuid,
    session_hash  bytea,
    key_id        uuid,
    groups        text[],             -- of an issuer's token; those of users and keys are read where they are stored
    ends_at       timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- The state of its deliveries.
    last_sent_at  timestamptz NOT NULL DEFAULT now(),
    stalled_since timestamptz,        -- first refused delivery since the last success
    paused_until  timestamptz,
    lease         uuid,               -- of the process that delivers to it
    leased_until  timestamptz
);
CREATE INDEX websocket_connections_subject_idx ON websocket_connections (subject);

CREATE TABLE websocket_subscriptions (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_id text COLLATE "C" NOT NULL REFERENCES websocket_connections ON DELETE CASCADE,
    name          text NOT NULL,
    filter        jsonb NOT NULL,
    position      bigint NOT NULL,    -- everything up to here is delivered
    UNIQUE (connection_id, name)
);

-- Each opens one connection within seconds.
CREATE TABLE websocket_tickets (
    ticket_hash  bytea PRIMARY KEY,
    subject      text NOT NULL,
    caller       text COLLATE "C" NOT NULL CHECK (caller IN ('anonymous', 'token', 'session', 'api_key', 'issuer')),
    user_id      uuid,
    family       uuid,
    session_hash bytea,
    key_id       uuid,
    groups       text[],
    ends_at      timestamptz,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX websocket_tickets_expires_idx ON websocket_tickets (expires_at);
"""

DOWN = """
DROP TABLE websocket_tickets, websocket_subscriptions, websocket_connections, event_stream_head, event_stream;
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
