"""Events: lists, statistics, export, snapshots. ``routes``, ``requests`` and ``responses``."""
