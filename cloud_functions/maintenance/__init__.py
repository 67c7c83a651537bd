"""Scheduled work on the database and the bucket. May import ``db``."""
