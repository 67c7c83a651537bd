"""``vedette-admin adopt``: copies events, plate reads and pictures of the systems that Vedette replaces.

``old_database`` reads, ``old_events`` and ``old_plates`` map a row to the wire message of an event, ``pictures`` copies
its picture, ``record`` keeps the position and the refused rows in our database, and ``adoption`` is the run. Rows are
stored by ingest, so statistics, plates and protected sites are as for events of devices.
"""
