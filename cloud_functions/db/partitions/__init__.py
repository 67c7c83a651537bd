"""The monthly partitions of ``events``, and moving events out of the default partition."""
