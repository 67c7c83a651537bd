"""``/events/...`` at the root path: plate reads under the names that clients of ALPR storage services use.

Imports ``db``, ``http`` and ``security``, and no other resource.
"""
