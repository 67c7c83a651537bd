"""Vedette for programs that use it: ``vedette.client`` is the client of its API."""
