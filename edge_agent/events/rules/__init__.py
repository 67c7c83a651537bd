"""Rules over tracked objects: zones, lines, loitering, occupancy, counters, schedules; and the life of a track.

``rule_set`` and what it is made of (zones, lines, loitering, occupancy, counters, schedule, observation), and ``path``,
are plain logic over normalised boxes and seconds: they import the standard library and ``shared.geometry`` alone.
"""
