"""Tests of cloud_functions/object_storage."""
