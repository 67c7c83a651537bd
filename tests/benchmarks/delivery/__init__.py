"""``make bench-delivery``: faults of each part of the one-machine stack, and what was lost, repeated and delayed.

Devices run the agent's outbox, sender and MQTT connection in processes of their own, with generated events. What they
sent is counted from journals that they write before the outbox; what arrived, from PostgreSQL, from the files of the
object store, and from the logs of subscriber processes. ``scenarios.py`` is the table of scenarios.
"""
