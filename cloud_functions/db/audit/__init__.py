"""SQL of the audit log: ``log`` adds and lists entries, ``chain`` verifies them, ``retention`` removes the oldest."""
