"""Tracks, motion and detections to events. May import ``types``, ``boxes``, ``track`` and ``images``."""
