"""Alembic migrations of the event store: plain SQL, each with a downgrade. Run by ``cloud_functions.db.migrate``."""
