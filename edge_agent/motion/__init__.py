"""Where something moves, found by comparing brightness with a background. May import ``types`` and ``resize``."""
