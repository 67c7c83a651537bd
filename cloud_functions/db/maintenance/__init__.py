"""Maintenance: retries of failed tasks, deletion of obsolete rows."""
