"""The oldest entries of the audit log can be removed, chain by chain.

``audit_chains`` holds the number and the hash of the last entry that was removed from each chain: the first one that
remains follows it, so the chain is still verified. Raising ``removed_sequence`` is the only way to remove entries; it
removes all entries up to that number, and adds an entry that says so.

New columns only: an earlier release ignores them, and its ``audit verify`` reports removed entries as missing.

Revision ID: 0025
Revises: 0024
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE audit_chains ADD COLUMN removed_sequence bigint NOT NULL DEFAULT 0;
ALTER TABLE audit_chains ADD COLUMN removed_hash bytea NOT NULL DEFAULT '';
COMMENT ON COLUMN audit_chains.removed_sequence IS 'The last entry that retention has removed; 0 for none.';

CREATE OR REPLACE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'audit_chains' AND TG_OP = 'UPDATE' THEN
        IF pg_trigger_depth() > 1 THEN
            RETURN NEW;  -- by audit_log_append
        END IF;
        IF (NEW.chain, NEW.sequence, NEW.hash, NEW.removed_hash) = (OLD.chain, OLD.sequence, OLD.hash, OLD.removed_hash)
           AND NEW.removed_sequence > OLD.removed_sequence THEN
            SELECT hash INTO NEW.removed_hash FROM audit_log
            WHERE chain = NEW.chain AND sequence = NEW.removed_sequence;
            IF FOUND THEN
                RETURN NEW;  -- audit_log_remove follows
            END IF;
        END IF;
    ELSIF TG_TABLE_NAME = 'audit_log' AND TG_OP = 'DELETE' AND pg_trigger_depth() > 1 THEN
        PERFORM FROM audit_chains WHERE chain = OLD.chain AND removed_sequence >= OLD.sequence;
        IF FOUND THEN
            RETURN OLD;  -- by audit_log_remove
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END $$;

CREATE FUNCTION audit_log_remove() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
BEGIN
    DELETE FROM audit_log WHERE chain = NEW.chain AND sequence <= NEW.removed_sequence;
    GET DIAGNOSTICS removed = ROW_COUNT;
    INSERT INTO audit_log (actor_kind, actor_name, action, target, outcome, details)
    VALUES ('command', 'maintenance', 'remove_audit_entries', 'chain=' || NEW.chain, 'success', jsonb_build_object(
        'entries', removed, 'through', NEW.removed_sequence, 'hash', encode(NEW.removed_hash, 'hex')));
    RETURN NULL;
END $$;
CREATE TRIGGER audit_log_remove AFTER UPDATE ON audit_chains
    FOR EACH ROW WHEN (NEW.removed_sequence > OLD.removed_sequence) EXECUTE FUNCTION audit_log_remove();
"""

DOWN = """
DROP TRIGGER audit_log_remove ON audit_chains;
DROP FUNCTION audit_log_remove;
CREATE OR REPLACE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'audit_chains' AND TG_OP = 'UPDATE' AND pg_trigger_depth() > 1 THEN
        RETURN NEW;  -- by audit_log_append
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
ALTER TABLE audit_chains DROP COLUMN removed_sequence, DROP COLUMN removed_hash;
"""


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
