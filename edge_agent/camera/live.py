"""What all cameras share: a reader thread, the newest frame, and connecting again when the picture stops."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Condition, Event, Thread
from typing import Protocol

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceStatus, StreamInfo
from edge_agent.types import Frame, Picture
from shared.clock import Clock
from shared.errors import TransientError, VedetteError

logger = logging.getLogger(__name__)

DEGRADED_AFTER_S = 2.0
"""A connected camera whose last picture is older than this is degraded (until the watchdog calls it offline)."""
FPS_WINDOW_S = 5.0
SETTLE_S = 1.0
"""After connecting, pictures that FFmpeg had kept while it looked at the stream come in a burst; they are no rate."""
JOIN_S = 0.5
"""How long ``close`` waits for the reader; one that is blocked in the camera ends by itself when its read times out."""


class ConnectionLostError(TransientError):
    """The camera cannot be reached, or its picture stopped. The text holds no secret."""


class AccessRefusedError(TransientError):
    """The camera does not like the user name or password; asking again soon would lock the account."""


class Connection(Protocol):
    """An open line to a camera, used by the reader thread alone."""

    def read(self) -> Picture:
        """Block until the next picture; raise ConnectionLostError when it does not come."""
        ...

    def info(self) -> StreamInfo: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before connecting again: exponential with full jitter, so that cameras behind one switch that
    come back together are not all asked at the same moment."""

    settings: SourceSettings
    random: random.Random

    def delay_s(self, failures: int, *, refused: bool) -> float:
        """Return the wait after this many failures in a row (1 or more)."""
        if refused:
            return self.random.uniform(0.8, 1.2) * self.settings.auth_backoff_s
        bound_s = self.settings.backoff_min_s * 2.0 ** min(failures - 1, 32)
        return self.random.uniform(0.0, min(bound_s, self.settings.backoff_max_s))


class LiveSource:
    """A camera: a thread reads it, ``read`` hands out the newest frame nobody has seen, older ones are dropped.

    A frame's timestamp is the clock's time when it had been received and decoded: cameras' own clocks are too often
    wrong. Against the moment of exposure it is late by the camera's encoding and the network, commonly 0.1–0.5 s.
    """

    live = True

    def __init__(
        self,
        *,
        connect: Callable[[], Connection],
        source: str,
        settings: SourceSettings,
        clock: Clock,
        rng: random.Random | None = None,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Start reading. ``source`` names it in logs and must hold no secret; ``wait`` sleeps between attempts."""
        self._connect = connect
        self._settings = settings
        self._clock = clock
        self._backoff = Backoff(settings, rng or random.Random())  # noqa: S311
        self._closed = Event()
        self._wait = wait or self._closed.wait
        self._changed = Condition()
        self._newest: Frame | None = None
        self._info = StreamInfo(source=source)
        self._connected = False
        self._connections = 0
        self._error: str | None = None
        self._arrivals_s: deque[float] = deque(maxlen=256)
        self._last_frame_at: datetime | None = None
        self._last_frame_at_s = self._greeted_at_s = clock.monotonic()
        self._thread = Thread(target=self._run, name=f"camera {source}", daemon=True)
        self._thread.start()

    def read(self, timeout_s: float) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._closed.is_set(), timeout_s)
            frame, self._newest = self._newest, None
            return None if self._closed.is_set() else frame

    @property
    def ended(self) -> bool:
        return self._closed.is_set()

    def info(self) -> StreamInfo:
        return self._info

    def status(self) -> SourceStatus:
        with self._changed:
            quiet_s = self._clock.monotonic() - self._last_frame_at_s
            state = "online"
            error = self._error
            if not self._connected or self._closed.is_set():
                state = "offline"
            elif quiet_s > self._settings.watchdog_s:
                state, error = "offline", error or f"no picture for {quiet_s:.0f} s"
            elif quiet_s > DEGRADED_AFTER_S:
                state, error = "degraded", error or f"no picture for {quiet_s:.0f} s"
            return SourceStatus(
                state=state,
                error=error,
                fps_actual=self._fps(),
                reconnects=max(0, self._connections - 1),
                last_frame_at=self._last_frame_at,
            )

    def close(self) -> None:
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(JOIN_S)

    def _fps(self) -> float | None:
        now_s = self._clock.monotonic()
        recent = [arrival_s for arrival_s in self._arrivals_s if now_s - arrival_s <= FPS_WINDOW_S]
        if len(self._arrivals_s) < 2:
            return None
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return 0.0
        return (len(recent) - 1) / (recent[-1] - recent[0])

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            began_s = self._clock.monotonic()
            try:
                self._converse()
            except VedetteError as error:
                trouble, refused = str(error), isinstance(error, AccessRefusedError)
            except Exception as error:
                logger.exception("%s: unexpected trouble", self._info.source)
                trouble, refused = f"unexpected trouble: {type(error).__name__}", False
            else:
                return
            if self._clock.monotonic() - began_s >= self._settings.stable_after_s:
                failures = 0
            failures += 1
            delay_s = self._backoff.delay_s(failures, refused=refused)
            self._report(trouble, delay_s)
            self._wait(delay_s)

    def _converse(self) -> None:
        """Connect and pass pictures on until closed; raise what ends it."""
        connection = self._connect()
        try:
            self._connections += 1
            number = 0
            while not self._closed.is_set():
                picture = connection.read()
                number += 1
                if number == 1:
                    self._greet(connection.info())
                self._publish(number, picture)
        finally:
            with self._changed:
                self._connected = False
            connection.close()

    def _greet(self, info: StreamInfo) -> None:
        logger.info("%s: connected, %s %s", info.source, info.codec, info.resolution)
        with self._changed:
            self._info = info
            self._connected = True
            self._error = None
            self._arrivals_s.clear()
            self._greeted_at_s = self._clock.monotonic()

    def _publish(self, number: int, picture: Picture) -> None:
        now_s, now = self._clock.monotonic(), self._clock.now()
        with self._changed:
            self._newest = Frame(number=number, timestamp=now, time_s=now_s, picture=picture)
            if now_s - self._greeted_at_s >= SETTLE_S:
                self._arrivals_s.append(now_s)
            self._last_frame_at, self._last_frame_at_s = now, now_s
            self._changed.notify_all()

    def _report(self, trouble: str, delay_s: float) -> None:
        """Warn once for each kind of trouble; its repetitions are for those who debug."""
        if self._closed.is_set():
            return
        with self._changed:
            repeated = trouble == self._error
            self._error = trouble
        level = logging.DEBUG if repeated else logging.WARNING
        logger.log(level, "%s: %s; next attempt in %.1f s", self._info.source, trouble, delay_s)
