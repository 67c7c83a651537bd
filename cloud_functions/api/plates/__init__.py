"""Plates: search, history, statistics. Imports no other resource."""
