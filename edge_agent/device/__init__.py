"""Remote management of the device: commands from the cloud and heartbeats.

May import ``outbox`` and ``transport``.
"""
