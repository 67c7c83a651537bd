"""Turns tracks, motion and detections into events. May import ``types``, ``boxes`` and ``images``.

``rules`` make occurrences, ``builder`` makes wire events of them. Both import ``occurrences`` and ``settings``, which
import ``rule_types``.
"""
