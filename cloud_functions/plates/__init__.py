"""Plates as text, and encryption keys: patterns, distance, normal form, site keys, master keys. No database."""
