"""Alembic migrations of the event store: plain SQL, each with its way back. Run by ``cloud_functions.db.migrate``."""
