"""Reads the crop of a plate: rectification, character detection, readers, and fusion of their results.

Imports no other folder of ``anpr``.
"""
