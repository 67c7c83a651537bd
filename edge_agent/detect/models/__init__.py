"""Model files: the catalogue of known models, downloading, class labels. May import ``shared`` only."""
