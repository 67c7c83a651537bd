"""Decoding with FFmpeg (PyAV): opens streams, decodes pictures, converts planes and presentation times.

May import ``types`` and ``resize``.
"""
