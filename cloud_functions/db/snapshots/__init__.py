"""Snapshots whose events are gone."""
