"""Evaluates the tracker on MOT15 public detections: ``python -m tests.benchmarks.mot``."""
