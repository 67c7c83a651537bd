"""``vedette-admin doctor``: what is wrong with a deployment, and what to do.

Checks only read, except for an object in the bucket, files and a temporary table that they write and remove again.
"""
