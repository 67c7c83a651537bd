"""Bookkeeping of maintenance: tasks that failed, rows that nobody needs."""
