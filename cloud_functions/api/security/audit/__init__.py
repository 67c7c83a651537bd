"""What each request adds to the audit log: ``request_audit`` collects it, ``middleware`` and transactions write it."""
