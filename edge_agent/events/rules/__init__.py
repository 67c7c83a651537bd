"""Rules over tracked objects: zones, lines, loitering, occupancy, counters, schedules and the lifecycle of a track.

``rule_set`` and its parts (zones, lines, loitering, occupancy, counters, schedule, observation), and ``path``, work on
normalised boxes and seconds. They import the standard library, ``shared.geometry``, ``shared.zones`` and
``events.rule_types`` only.
"""
