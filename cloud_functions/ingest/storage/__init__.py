"""Stores the events of a chunk in one transaction and makes their documents. May import ``validation``, ``seal``."""
