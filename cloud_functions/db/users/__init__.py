"""SQL of users, refresh tokens, API keys, signing keys and log-in attempts. Secrets arrive here as hashes."""
