"""The function with which CloudFormation migrates the database of a stack, before it changes the other functions.

May import ``db``, ``aws``, ``settings`` and ``observability``. No other function imports it.
"""
