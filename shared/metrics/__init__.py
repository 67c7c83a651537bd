"""Metrics for Prometheus: the table of names, instruments, the text format, the HTTP server and its settings."""
