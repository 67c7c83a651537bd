"""Supervised processes, ports, pid files, logs and the state folder. Imports no other folder of the stack."""
