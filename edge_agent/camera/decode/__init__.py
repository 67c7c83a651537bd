"""Decoding with FFmpeg (PyAV): streams to pictures, YUV planes, presentation times.

May import ``types`` and ``resize``.
"""
