"""Logs a continuing problem once, again when its kind changes, and when it is resolved."""

from __future__ import annotations

import logging
import threading


class ProblemLog:
    """Logs each kind of problem once while it lasts. Thread-safe."""

    def __init__(self, logger: logging.Logger, *, subject: str) -> None:
        """``subject`` is the prefix of each line, such as ``MQTT broker example.org:8883``."""
        self._logger = logger
        self._subject = subject
        self._lock = threading.Lock()
        self._kind: str | None = None

    @property
    def kind(self) -> str | None:
        """The kind of the current problem; None if there is none."""
        return self._kind

    def report(self, kind: str, text: str) -> None:
        """Report a problem. Logged as a warning if its kind differs from the last one, else at DEBUG."""
        with self._lock:
            level = logging.DEBUG if kind == self._kind else logging.WARNING
            self._kind = kind
        self._logger.log(level, "%s: %s", self._subject, text)

    def recovered(self, text: str) -> None:
        """Report that the problem is resolved. Logs a line if there was one."""
        with self._lock:
            ended, self._kind = self._kind, None
        if ended is not None:
            self._logger.info("%s: %s", self._subject, text)
