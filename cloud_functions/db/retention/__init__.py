"""Retention policies, the size of events, what has expired, and legal holds. May import ``db.types`` only."""
