"""The tracker's examination on MOT15 public detections: ``python -m tests.benchmarks.mot``."""
