"""Backoff for retry loops, and logging of unexpected exceptions.

A retry loop waits after every exception, longer after each failure in a row. It logs expected errors
(``TransientError`` and others) itself. Any other exception is a fault, which is logged once with its traceback::

    backoff, faults = Backoff(min_s=0.5, max_s=30), FaultLog(logger)
    while not stopped.is_set():
        try:
            work()
        except TransientError as error:
            logger.warning("the broker is unavailable: %s", error)
            stopped.wait(backoff.failed())
        except Exception as error:
            faults.log(error, "running ingest failed")
            stopped.wait(backoff.failed())
        else:
            backoff.succeeded()
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_MAX_DOUBLINGS = 32
_MAX_KINDS = 64
_Kind = tuple[type[BaseException], str, int]
"""Exception type, file and line."""


class Backoff:
    """Exponential backoff: ``min_s`` after the first failure, doubled after each further one, at most ``max_s``.

    ``jitter_ratio`` (0..1) shortens each wait by a random part, at most by this fraction, so that clients that fail at
    the same time do not retry at the same time. A higher value spreads retries more.
    """

    def __init__(
        self, *, min_s: float, max_s: float, jitter_ratio: float = 0.0, rng: random.Random | None = None
    ) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._jitter_ratio = jitter_ratio
        self._random = rng or random.Random()  # noqa: S311 - spreads load; not security-relevant
        self.failures = 0
        """Number of consecutive failures."""

    def failed(self) -> float:
        """Count a failure; return how long to wait before the next attempt, in seconds."""
        bound_s = min(self._min_s * 2.0 ** min(self.failures, _MAX_DOUBLINGS), self._max_s)
        self.failures += 1
        return bound_s * (1.0 - self._jitter_ratio * self._random.random())

    def succeeded(self) -> None:
        """Reset: the next wait is ``min_s``."""
        self.failures = 0


class SharedBackoff:
    """A ``Backoff`` shared by several threads. Failures during a pause do not count."""

    def __init__(self, *, min_s: float, max_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._backoff = Backoff(min_s=min_s, max_s=max_s)
        self._monotonic = monotonic
        self._until_s = 0.0
        self._lock = threading.Lock()

    def failed(self) -> None:
        """Start a pause, unless one is in progress."""
        with self._lock:
            now_s = self._monotonic()
            if now_s >= self._until_s:
                self._until_s = now_s + self._backoff.failed()

    def succeeded(self) -> None:
        """End the pause."""
        with self._lock:
            self._backoff.succeeded()
            self._until_s = 0.0

    def remaining_s(self) -> float:
        """Return the remaining pause in seconds; 0 if there is none."""
        return max(0.0, self._until_s - self._monotonic())


@dataclass(slots=True)
class _Occurrences:
    count: int = 0
    last_s: float = 0.0


class FaultLog:
    """Logs unexpected exceptions: the first of a kind as an error with its traceback, repetitions at DEBUG.

    Two exceptions are of the same kind if they have the same type and were raised at the same line. A kind that did not
    occur for ``forget_after_s`` is logged as an error again. Thread-safe.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        forget_after_s: float = 3600.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._forget_after_s = forget_after_s
        self._monotonic = monotonic
        self._seen: dict[_Kind, _Occurrences] = {}
        self._lock = threading.Lock()

    def log(self, error: BaseException, what: str) -> None:
        """Log that ``what`` (a clause such as "sending the heartbeat failed") because of ``error``."""
        count = self._count(error)
        if count == 1:
            self._logger.error("%s unexpectedly; repetitions are logged at DEBUG", what, exc_info=error, stacklevel=2)
        else:
            self._logger.debug("%s again (%d times so far): %s", what, count, type(error).__name__, stacklevel=2)

    def _count(self, error: BaseException) -> int:
        kind = (type(error), *_raised_at(error))
        with self._lock:
            now_s = self._monotonic()
            occurrences = self._seen.pop(kind, None)
            if occurrences is None or now_s - occurrences.last_s > self._forget_after_s:
                occurrences = _Occurrences()
            occurrences.count += 1
            occurrences.last_s = now_s
            self._seen[kind] = occurrences
            if len(self._seen) > _MAX_KINDS:
                del self._seen[next(iter(self._seen))]
            return occurrences.count


def _raised_at(error: BaseException) -> tuple[str, int]:
    """Return the file and line at which the exception was raised."""
    entry = error.__traceback__
    if entry is None:
        return "", 0
    while entry.tb_next is not None:
        entry = entry.tb_next
    return entry.tb_frame.f_code.co_filename, entry.tb_lineno
