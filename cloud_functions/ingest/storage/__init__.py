"""Stores the events of a chunk in one transaction and makes their documents.

May import ``db``, ``privacy`` and the modules of ``ingest`` that prepare events, but not those that publish them.
"""
