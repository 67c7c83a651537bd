"""Frame to detections: models, moving blobs, slicing, and when to run them.

May import ``types``, ``resize`` and ``boxes``.
"""
