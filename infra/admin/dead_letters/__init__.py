"""``vedette-admin dead-letters``: lists, shows, re-drives and deletes what ingest and fan-out could not process."""
