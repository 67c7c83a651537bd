"""Devices: status, sequences and gaps."""
