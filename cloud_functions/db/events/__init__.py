"""Events in the database: insert, filter, queries, counts and their rollups, statistics, deletion."""
