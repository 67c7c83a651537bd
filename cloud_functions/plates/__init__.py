"""Plates as text, and keys: patterns, distance, normal form, site keys, master keys. No database."""
