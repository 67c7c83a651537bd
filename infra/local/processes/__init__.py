"""Supervised processes, ports, pid files, logs, the state folder and the stack's options.

Imports no other folder of the stack.
"""
