"""Messages from devices into the database: validate, store, publish.

May import ``privacy``, ``db``, ``plates`` and the modules of ``cloud_functions`` itself.
"""
