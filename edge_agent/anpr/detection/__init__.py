"""Detects plates: plate detector, search schedule, plate score, and association with vehicles."""
