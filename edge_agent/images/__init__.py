"""Draws on images, encodes them, and cuts recordings, without rules and network. May import ``types``, ``resize``."""
