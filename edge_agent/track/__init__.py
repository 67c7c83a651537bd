"""Multi-object tracking: matches detections with tracks that have lasting ids. May import ``types`` and ``boxes``."""
