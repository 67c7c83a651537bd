"""The error tree, split by what the caller does about it.

::

    VedetteError
    ├── ConfigurationError   tell the person, stop
    ├── ContractError        a bad message: reject it, keep a copy, go on
    ├── TransientError       try again later
    └── PermanentError       no retry will help: dead-letter it
"""

from __future__ import annotations


class VedetteError(Exception):
    """Root of every error raised on purpose; its text may be shown to a person and holds no secret."""


class ConfigurationError(VedetteError):
    """A setting, a file or an option is wrong; the text names it and says what would be right."""


class ContractError(VedetteError):
    """A message does not keep to the contract. ``reason`` is a short stable code for counting and dead letters."""

    def __init__(self, message: str, *, reason: str = "invalid") -> None:
        super().__init__(message)
        self.reason = reason


class TransientError(VedetteError):
    """Something is away for now (broker, bucket, database); the same call may work later."""


class PermanentError(VedetteError):
    """The same call will fail every time (access denied, no such bucket)."""
