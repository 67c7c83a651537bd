"""SQL, and nothing but SQL: connections, migrations, partitions, one folder for each kind of row.

May import ``plates``.
"""
