"""Events: list, statistics, export, deletion. Imports no other resource."""
