"""Delivers events from SNS to targets, one queue for each target. May import ``settings`` and ``observability``."""
