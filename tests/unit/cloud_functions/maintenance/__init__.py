"""Tests of maintenance that need no database."""
