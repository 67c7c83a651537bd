"""AWS on loopback: S3, SNS, SQS, Lambda, IoT rule, event source mappings, scheduler.

May import ``processes`` and ``servers``.
"""
