"""What the cloud asks of the device and what the device reports: commands and health.

May import ``outbox`` and ``transport``.
"""
