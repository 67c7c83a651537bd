"""Detections to tracks with lasting ids. May import ``types`` and ``boxes``."""
