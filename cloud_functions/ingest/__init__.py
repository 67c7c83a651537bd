"""Messages from devices into the database: validate, store, publish. May import ``privacy``, ``db`` and ``plates``."""
