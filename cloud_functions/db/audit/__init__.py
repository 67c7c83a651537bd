"""SQL of the audit log: ``log`` adds and lists entries, ``chain`` verifies that none was changed or removed."""
