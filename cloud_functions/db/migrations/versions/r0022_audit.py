"""The audit log: append-only, and chained by hashes, so that a change of what is in it is found.

A trigger gives each entry its number and its hash. There are 16 chains, so that transactions rarely wait for each
other: an entry goes to a chain that no other transaction is writing to. Entries cannot be changed or deleted without
disabling a trigger; ``vedette-admin audit verify`` finds what was changed after that.

New tables only: earlier releases do not use them and are not affected.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

UP = """
-- The last entry of each chain.
CREATE TABLE audit_chains (
    chain    smallint PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT 0,
    hash     bytea NOT NULL DEFAULT ''
);
INSERT INTO audit_chains (chain) SELECT generate_series(0, 15);

CREATE TABLE audit_log (
    chain      smallint NOT NULL,
    sequence   bigint NOT NULL,
    at         timestamptz NOT NULL,
    actor_kind text COLLATE "C" NOT NULL CHECK (actor_kind IN ('user', 'api_key', 'anonymous', 'command')),
    actor_id   uuid,
    actor_name text NOT NULL,
    action     text COLLATE "C" NOT NULL,
    target     text,
    outcome    text COLLATE "C" NOT NULL CHECK (outcome IN ('success', 'denied', 'failure')),
    reason     text,
    address    text,
    request_id text,
    details    jsonb NOT NULL DEFAULT '{}',
    previous   bytea NOT NULL,  -- hash of the entry before this one in its chain; empty for the first
    hash       bytea NOT NULL,
    PRIMARY KEY (chain, sequence)
);
CREATE INDEX audit_log_time_idx ON audit_log (at DESC, chain, sequence DESC);
CREATE INDEX audit_log_actor_idx ON audit_log (lower(actor_name), at DESC);

CREATE FUNCTION audit_log_append() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head audit_chains;
    fallback smallint := floor(random() * 16);
BEGIN
    SELECT * INTO head FROM audit_chains ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        SELECT * INTO head FROM audit_chains WHERE chain = fallback FOR UPDATE;
    END IF;
    NEW.chain := head.chain;
    NEW.sequence := head.sequence + 1;
    NEW.at := clock_timestamp();
    NEW.previous := head.hash;
    SELECT sha256(convert_to(
        string_agg(coalesce(octet_length(field) || ':' || field, '-'), ',' ORDER BY number), 'UTF8'))
    INTO NEW.hash
    FROM unnest(ARRAY[
        encode(NEW.previous, 'hex'), NEW.chain::text, NEW.sequence::text,
        (extract(epoch FROM NEW.at) * 1000000)::bigint::text, NEW.actor_kind, NEW.actor_id::text, NEW.actor_name,
        NEW.action, NEW.target, NEW.outcome, NEW.reason, NEW.address, NEW.request_id, NEW.details::text
    ]) WITH ORDINALITY AS fields (field, number);
    UPDATE audit_chains SET sequence = NEW.sequence, hash = NEW.hash WHERE chain = NEW.chain;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_log_append BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_append();

CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'audit_chains' AND TG_OP = 'UPDATE' AND pg_trigger_depth() > 1 THEN
        RETURN NEW;  -- by audit_log_append
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_log_refuse BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_refuse();
CREATE TRIGGER audit_log_keep BEFORE TRUNCATE ON audit_log EXECUTE FUNCTION audit_log_refuse();
CREATE TRIGGER audit_chains_refuse BEFORE INSERT OR UPDATE OR DELETE ON audit_chains
    FOR EACH ROW EXECUTE FUNCTION audit_log_refuse();
CREATE TRIGGER audit_chains_keep BEFORE TRUNCATE ON audit_chains EXECUTE FUNCTION audit_log_refuse();
"""

DOWN = """
DROP TABLE audit_log, audit_chains;
DROP FUNCTION audit_log_append, audit_log_refuse;
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
