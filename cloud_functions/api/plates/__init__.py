"""Plates: search, history, statistics. ``routes``, ``requests`` and ``responses``."""
