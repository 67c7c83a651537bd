"""Watch-lists and their patterns. ``routes`` and ``requests``."""
