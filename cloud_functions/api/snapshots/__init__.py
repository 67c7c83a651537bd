"""Snapshots of events. Imports ``events``, because a snapshot belongs to an event."""
