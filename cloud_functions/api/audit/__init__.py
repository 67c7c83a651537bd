"""The audit log: who did or viewed what."""
