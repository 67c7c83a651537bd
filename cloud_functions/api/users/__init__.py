"""Log-in, refresh, log-out and the caller's own account."""
