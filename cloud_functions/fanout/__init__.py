"""Delivers events from SNS to targets, one queue for each target.

May import ``settings`` and ``observability``; webhooks also ``db``, ``plates`` and ``privacy``, in modules that only
the function of this target imports.
"""
