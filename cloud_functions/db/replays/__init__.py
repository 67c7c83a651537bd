"""Replays: requests to send a span of stored events to one subscriber again, and how far each has come."""
