"""Objects in an S3 bucket, on AWS or any S3-compatible store. May import ``aws`` and ``shared``."""
