"""SQL: connections, migrations, partitions, and one folder for each kind of row.

May import ``plates``, ``aws`` and ``settings``.
"""
