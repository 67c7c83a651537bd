"""The database, the thread pool for blocking calls, health probes. Imports ``http``, but no resource."""
