"""Clocks are passed in, so that tests and replays decide what time it is.

A device without a battery-backed clock starts with a wrong time and is set by NTP later. So there are two readings:
wall time, which may be stepped at any moment, and steady time, which never is. Their difference (``offset_s``) changes
only when somebody sets the wall clock; that is how a step is noticed, and by how much it was.
"""

from __future__ import annotations

import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable


class Clock(Protocol):
    """Wall-clock and steady time."""

    def now(self) -> datetime:
        """Return the current time, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never jumps; it starts anew when the machine does."""
        ...


@runtime_checkable
class BootClock(Protocol):
    """A clock that knows since when its steady time counts."""

    @property
    def boot_id(self) -> str:
        """Name the start of the machine since which ``monotonic`` counts."""
        ...


class SystemClock:
    """The machine's own clocks. Steady time counts while the machine is suspended, where the system offers that."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)

    @property
    def boot_id(self) -> str:
        return machine_boot_id()


class ManualClock:
    """A clock that moves only when told to. Each one is a boot of its own."""

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
        """Set the wall clock forward, or back where negative, as NTP does; steady time goes on as before."""
        self._now += timedelta(seconds=seconds)


class StepAwareClock:
    """The wall clock, with a memory of when it was set: ``corrected`` puts right a time that was taken before.

    A visit may begin before the clock is set and end after it. Each time is told apart by itself: it was taken while
    the clock stood as it did then. Only where the clock was set back, and shows the same time twice, is that ambiguous;
    the later one is assumed. Thread-safe.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._settings = [(clock_offset_s(clock), clock.monotonic())]
        """Each offset that the clock was set to, and since when it stood so, in steady time."""

    def now(self) -> datetime:
        self._look()
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def corrected(self, moment: datetime, *, offset_s: float | None = None) -> datetime:
        """Return ``moment``, once taken from this clock, as the clock would show it that has ``offset_s``.

        None: as it is set now.
        """
        if offset_s is None:
            offset_s = self._look()
        step_s = offset_s - self._offset_at(moment.timestamp())
        return moment + timedelta(seconds=step_s) if abs(step_s) > CLOCK_STEP_S else moment

    def _look(self) -> float:
        """Notice a step; return the offset of now."""
        offset_s = clock_offset_s(self._clock)
        with self._lock:
            if abs(offset_s - self._settings[-1][0]) > CLOCK_STEP_S:
                self._settings = [*self._settings[-_REMEMBERED_STEPS:], (offset_s, self._clock.monotonic())]
        return offset_s

    def _offset_at(self, wall_s: float) -> float:
        """Return the offset that the clock had when it showed this: the latest that did, or that comes nearest."""
        settings, until_s = self._settings, self._clock.monotonic()
        nearest_s, found_s = float("inf"), settings[-1][0]
        for offset_s, since_s in reversed(settings):
            away_s = max(offset_s + since_s - wall_s, wall_s - offset_s - until_s, 0.0)
            if away_s < nearest_s:
                nearest_s, found_s = away_s, offset_s
            until_s = since_s
        return found_s


_REMEMBERED_STEPS = 63
CLOCK_STEP_S = 0.1
"""A smaller difference between wall and steady time is not counted as a step."""
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_QUICK_S = 0.001


def clock_offset_s(clock: Clock) -> float:
    """Return wall time less steady time, in seconds.

    The two are read one after the other; a pair that the scheduler tore apart is read again.
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
    """Return the boot since which the clock's steady time counts; the machine's for a clock that does not say."""
    return clock.boot_id if isinstance(clock, BootClock) else machine_boot_id()


def machine_boot_id() -> str:
    """Return the kernel's name for this start of the machine; one of this process alone where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _PROCESS_ID


_PROCESS_ID = uuid.uuid4().hex


def format_utc(moment: datetime) -> str:
    """Format an aware time as RFC 3339 in UTC with microseconds and ``Z``; raise ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone has no place in a message")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
