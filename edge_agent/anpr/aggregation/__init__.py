"""Combines many readings of one vehicle into one result: plate tracks, vote, formats, colour, direction, emission.

May import ``detection`` and ``recognition``.
"""
