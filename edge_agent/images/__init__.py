"""Draws on images and encodes them, without rules and without network access. May import ``types`` and ``resize``."""
