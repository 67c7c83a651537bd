"""Detects plates: plate detector, search schedule, plate score, and association with vehicles.

Imports no other folder of ``anpr``.
"""
