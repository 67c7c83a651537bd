"""Says what is wrong once: again when it is something else, and when it is over."""

from __future__ import annotations

import logging
import threading


class ProblemLog:
    """Logs each kind of trouble with one line, however often it comes. Thread-safe."""

    def __init__(self, logger: logging.Logger, *, subject: str) -> None:
        """``subject`` begins each line, such as ``MQTT broker example.org:8883``."""
        self._logger = logger
        self._subject = subject
        self._lock = threading.Lock()
        self._kind: str | None = None

    @property
    def kind(self) -> str | None:
        """The trouble that goes on; None where there is none."""
        return self._kind

    def report(self, kind: str, text: str) -> None:
        """Note trouble: a warning where it is of another kind than the last, else a line for those who debug."""
        with self._lock:
            level = logging.DEBUG if kind == self._kind else logging.WARNING
            self._kind = kind
        self._logger.log(level, "%s: %s", self._subject, text)

    def recovered(self, text: str) -> None:
        """Note that all is well, with a line where it was not."""
        with self._lock:
            was, self._kind = self._kind, None
        if was is not None:
            self._logger.info("%s: %s", self._subject, text)
