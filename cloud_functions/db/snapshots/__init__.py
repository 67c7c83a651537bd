"""Snapshots that were requested from cameras, and the images that are still to be deleted from the bucket."""
