"""Vehicles to number plate reads; ``stage`` orchestrates.

May import ``types``, ``boxes``, ``detect``, ``track`` and ``events``.
"""
