"""Snapshots of events. Imports ``events``, because every snapshot is of an event."""
