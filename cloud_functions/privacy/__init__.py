"""Protected plates: the only room that joins the database and keys. May import ``db`` and ``plates``."""
