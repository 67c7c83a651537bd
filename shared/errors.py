"""The error tree, split by what the caller does about it.

::

    VedetteError
    ├── ConfigurationError   report it to the user and stop
    ├── ContractError        reject the message, keep a copy, continue
    ├── TransientError       retry later
    └── PermanentError       a retry cannot succeed: dead-letter it
"""

from __future__ import annotations


class VedetteError(Exception):
    """Base class of expected errors. The text may be shown to users and contains no secrets."""


class ConfigurationError(VedetteError):
    """A setting, file or option is invalid. The text names it and says how to correct it."""


class ContractError(VedetteError):
    """A message violates the wire contract. ``reason`` is a short, stable code for metrics and dead letters."""

    def __init__(self, message: str, *, reason: str = "invalid") -> None:
        super().__init__(message)
        self.reason = reason


class TransientError(VedetteError):
    """A dependency (broker, bucket, database) is temporarily unavailable. The same call may succeed later."""


class PermanentError(VedetteError):
    """The same call would fail every time, for example because access is denied."""
