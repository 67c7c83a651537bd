"""Motion detection against a background model. May import ``types``, ``resize`` and ``boxes``."""
