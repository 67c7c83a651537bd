"""Remote management of the device: commands from the cloud, heartbeats, and the device's key and last configuration.

May import ``outbox`` and ``transport``.
"""
