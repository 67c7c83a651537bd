"""Users, their refresh tokens, API keys, the keys that sign access tokens, and the counts that throttle log-ins.

New tables only: earlier releases do not use them and are not affected. No table holds a secret that could be used as it
is, except the private keys of a deployment without a master key: passwords are Argon2id hashes, tokens and API keys
SHA-256 hashes.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

from cloud_functions.db.migrations.plain_sql import run_sql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE users (
    id            uuid PRIMARY KEY,
    username      text COLLATE "C" NOT NULL CHECK (username ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),  -- never an email
    email         text CHECK (length(email) BETWEEN 3 AND 254 AND position('@' IN email) > 1),
    password_hash text NOT NULL,
    role          text COLLATE "C" NOT NULL,
    groups        text[],                       -- slugs of camera groups; NULL: no limit
    is_active     boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    last_login    timestamptz
);
CREATE UNIQUE INDEX users_username_idx ON users (lower(username));
CREATE UNIQUE INDEX users_email_idx ON users (lower(email));

-- The tokens of one log-in are a family: a token that is used twice revokes all of them.
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    family     uuid NOT NULL,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    revoked_at timestamptz
);
CREATE INDEX refresh_tokens_family_idx ON refresh_tokens (family);
CREATE INDEX refresh_tokens_user_idx ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_expires_idx ON refresh_tokens (expires_at);

CREATE TABLE api_keys (
    id         uuid PRIMARY KEY,
    prefix     text COLLATE "C" NOT NULL UNIQUE,  -- the eight characters after vdk_; identifies the key, not a secret
    key_hash   bytea NOT NULL CHECK (length(key_hash) = 32),
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    scopes     text[] NOT NULL,                   -- permissions
    groups     text[],                            -- slugs of camera groups; NULL: no limit
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used  timestamptz,                       -- at most a minute old
    revoked_at timestamptz
);
CREATE UNIQUE INDEX api_keys_name_idx ON api_keys (lower(name));

-- The newest key signs. The others verify tokens until these have expired.
CREATE TABLE signing_keys (
    kid         text COLLATE "C" PRIMARY KEY,
    algorithm   text COLLATE "C" NOT NULL,
    public_key  bytea NOT NULL,
    private_key bytea NOT NULL,        -- wrapped by a master key if wrapped_by is set
    wrapped_by  text COLLATE "C",      -- kms:ARN or file:NAME
    created_at  timestamptz NOT NULL DEFAULT now(),
    retired_at  timestamptz
);
CREATE UNIQUE INDEX signing_keys_current_idx ON signing_keys ((true)) WHERE retired_at IS NULL;

CREATE TABLE login_attempts (
    subject     text COLLATE "C" PRIMARY KEY,  -- account:SHA-256 or address:NETWORK
    attempts    integer NOT NULL,
    window_ends timestamptz NOT NULL
);
CREATE INDEX login_attempts_window_idx ON login_attempts (window_ends);
"""

DOWN = "DROP TABLE login_attempts, signing_keys, api_keys, refresh_tokens, users;"


def upgrade() -> None:
    run_sql(UP)


def downgrade() -> None:
    run_sql(DOWN)
