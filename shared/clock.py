"""Injectable clocks, so that tests and replays control the time.

A device without a battery-backed clock starts with a wrong time, which NTP corrects later. A clock therefore has two
readings: wall time, which may be stepped at any moment, and monotonic time, which is never stepped. Their difference
(``offset_s``) changes only when the wall clock is set, which reveals the step and its size.
"""

from __future__ import annotations

import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable


class Clock(Protocol):
    """Wall-clock and monotonic time."""

    def now(self) -> datetime:
        """Return the current time, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that is never stepped. It restarts with the machine."""
        ...


@runtime_checkable
class BootClock(Protocol):
    """A clock that identifies the boot since which its monotonic time counts."""

    @property
    def boot_id(self) -> str:
        """Identifier of the boot since which ``monotonic`` counts."""
        ...


class SystemClock:
    """The system clocks. Monotonic time includes suspend where the system supports it."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)

    @property
    def boot_id(self) -> str:
        return machine_boot_id()


class ManualClock:
    """A clock that advances only on request. Each instance has its own boot id."""

    def __init__(self, start: datetime | None = None, *, boot_id: str | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed_s = 0.0
        self.boot_id = boot_id or uuid.uuid4().hex

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now += timedelta(seconds=seconds)
        self._elapsed_s += seconds

    def step(self, seconds: float) -> None:
        """Step the wall clock, as NTP does: forward, or back if negative. Monotonic time does not change."""
        self._now += timedelta(seconds=seconds)


class StepAwareClock:
    """A wall clock that records its steps, so that ``corrected`` can correct times taken before a step.

    A stay may begin before the clock is set and end after it, so each time is corrected separately, by the offset that
    was in effect when it was taken. If the clock was set back and showed the same time twice, the later one is assumed.
    Thread-safe.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._settings = [(clock_offset_s(clock), clock.monotonic())]
        """Offsets of the clock, each with the monotonic time from which it applies."""

    def now(self) -> datetime:
        self._detect_step()
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def corrected(self, moment: datetime, *, offset_s: float | None = None) -> datetime:
        """Return ``moment``, a time taken from this clock, converted to a clock with ``offset_s``.

        None: the current offset.
        """
        if offset_s is None:
            offset_s = self._detect_step()
        step_s = offset_s - self._offset_at(moment.timestamp())
        return moment + timedelta(seconds=step_s) if abs(step_s) > CLOCK_STEP_S else moment

    def _detect_step(self) -> float:
        """Record a step, if there was one; return the current offset."""
        offset_s = clock_offset_s(self._clock)
        with self._lock:
            if abs(offset_s - self._settings[-1][0]) > CLOCK_STEP_S:
                self._settings = [*self._settings[-_REMEMBERED_STEPS:], (offset_s, self._clock.monotonic())]
        return offset_s

    def _offset_at(self, wall_s: float) -> float:
        """Return the latest offset with which the clock showed this time; the nearest offset if there was none."""
        settings, until_s = self._settings, self._clock.monotonic()
        nearest_s, nearest_offset_s = float("inf"), settings[-1][0]
        for offset_s, since_s in reversed(settings):
            away_s = max(offset_s + since_s - wall_s, wall_s - offset_s - until_s, 0.0)
            if away_s < nearest_s:
                nearest_s, nearest_offset_s = away_s, offset_s
            until_s = since_s
        return nearest_offset_s


_REMEMBERED_STEPS = 63
CLOCK_STEP_S = 0.1
"""A smaller change of the offset does not count as a step."""
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_QUICK_S = 0.001


def clock_offset_s(clock: Clock) -> float:
    """Return wall time minus monotonic time, in seconds.

    The two clocks are read one after the other. Readings that are too far apart are repeated.
    """
    best_s, offset_s = float("inf"), 0.0
    for _ in range(5):
        before_s = clock.monotonic()
        wall_s = clock.now().timestamp()
        took_s = clock.monotonic() - before_s
        if took_s < best_s:
            best_s, offset_s = took_s, wall_s - before_s
        if took_s <= _QUICK_S:
            break
    return offset_s


def boot_id_of(clock: Clock) -> str:
    """Return the boot id of the clock, or of the machine if the clock has none."""
    return clock.boot_id if isinstance(clock, BootClock) else machine_boot_id()


def machine_boot_id() -> str:
    """Return the kernel's boot id, or an id of this process if the kernel provides none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _PROCESS_ID


_PROCESS_ID = uuid.uuid4().hex


def format_utc(moment: datetime) -> str:
    """Format an aware time as RFC 3339 in UTC with microseconds and ``Z``; raise ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a time in a message must have a time zone")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
