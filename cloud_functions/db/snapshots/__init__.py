"""Snapshots of deleted events."""
