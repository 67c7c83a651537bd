"""What routes work with: the database, the thread pool for blocking work, health probes."""
