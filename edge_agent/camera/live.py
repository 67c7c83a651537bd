"""What all cameras share: a reader thread, the newest frame, and connecting again when the picture stops."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Condition, Event, Thread
from typing import Protocol

from edge_agent.camera.freshness import FreshnessJudge
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceStatus, StreamInfo
from edge_agent.types import Frame, Picture
from shared.clock import Clock
from shared.errors import TransientError, VedetteError
from shared.retry import Backoff, FaultLog

logger = logging.getLogger(__name__)

DEGRADED_AFTER_S = 2.0
"""A connected camera whose last picture is older than this is degraded (until the watchdog calls it offline)."""
FPS_WINDOW_S = 5.0
SETTLE_S = 1.0
"""After connecting, pictures that FFmpeg had kept while it looked at the stream come in a burst; they are no rate."""
DAMAGE_WINDOW_S = 10.0
JITTER_RATIO = 0.5
"""Cameras behind one switch that come back together are not all asked at the same moment."""
EARLY_RETRY_RATIO = 0.1
"""Share of ``auth_backoff_s`` after the first refusal of a login that has worked."""
WATCH_STEP_S = 0.25
WATCHDOG_GRACE_S = 0.5
"""A read that times out by itself says better what was wrong than the watchdog can."""
SMALLEST_STEP_S = 0.001
JOIN_S = 0.5
"""How long ``close`` waits for the thread; a reader that is blocked in the camera ends when its read times out."""


class ConnectionLostError(TransientError):
    """The camera cannot be reached, or its picture stopped. The text holds no secret."""


class AccessRefusedError(TransientError):
    """The camera does not like the user name or password; asking again soon would lock the account."""


@dataclass(frozen=True, slots=True)
class ReceivedPicture:
    """A picture as it came from a camera."""

    picture: Picture
    pts_s: float | None = None
    """Its time by the stream's own clock, in seconds."""
    clocked: bool = False
    """The stream has a clock of its own, though single pictures may lack their time."""
    damaged: int = 0
    """Pictures that could not be decoded since the one before."""


class Connection(Protocol):
    """An open line to a camera, used by one reader thread alone."""

    def read(self) -> ReceivedPicture:
        """Block until the next picture; raise ConnectionLostError when it does not come."""
        ...

    def info(self) -> StreamInfo: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Session:
    """One connection and the thread that reads it."""

    judge: FreshnessJudge
    last_fresh_s: float
    """When it connected, or when its last fresh picture arrived."""
    open: bool = False
    abandoned: bool = False
    """Its reader hangs in the camera; what it still delivers does not count."""
    greeted: bool = False
    """A fresh picture has come."""
    pictures: int = 0
    error: Exception | None = None
    over: Event = field(default_factory=Event)


class LiveSource:
    """A camera: a thread reads it, ``read`` hands out the newest frame nobody has seen, older ones are dropped.

    A frame's timestamp is the clock's time when it had been received and decoded, less what it arrived late by the
    stream's own pace (``FreshnessJudge``): cameras' own clocks are too often wrong. Against the moment of exposure it
    is late by the camera's encoding and the network's usual delay, commonly 0.1–0.5 s. Pictures that are more than
    ``max_lateness_s`` late are dropped, and the camera is not online by them.
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
        self._random = rng or random.Random()  # noqa: S311
        self._backoff = Backoff(
            min_s=settings.backoff_min_s, max_s=settings.backoff_max_s, jitter_ratio=JITTER_RATIO, rng=self._random
        )
        self._faults = FaultLog(logger)
        self._closed = Event()
        self._wait = wait or self._closed.wait
        self._changed = Condition()
        self._newest: Frame | None = None
        self._info = StreamInfo(source=source)
        self._connected = False
        self._connections = 0
        self._refusals = 0
        self._error: str | None = None
        self._received_at_s: deque[float] = deque(maxlen=256)
        self._damage: deque[tuple[float, int]] = deque(maxlen=1024)
        self._last_frame_at: datetime | None = None
        self._last_capture_s: float | None = None
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
                damaged_ratio=self._damaged_ratio(),
            )

    def close(self) -> None:
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(JOIN_S)

    def _fps(self) -> float | None:
        now_s = self._clock.monotonic()
        recent = [arrival_s for arrival_s in self._received_at_s if now_s - arrival_s <= FPS_WINDOW_S]
        if len(self._received_at_s) < 2:
            return None
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return 0.0
        return (len(recent) - 1) / (recent[-1] - recent[0])

    def _damaged_ratio(self) -> float:
        now_s = self._clock.monotonic()
        recent = [damaged for arrival_s, damaged in self._damage if now_s - arrival_s <= DAMAGE_WINDOW_S]
        return sum(recent) / (sum(recent) + len(recent)) if recent else 0.0

    def _run(self) -> None:
        while not self._closed.is_set():
            began_s = self._clock.monotonic()
            session = _Session(FreshnessJudge(max_lateness_s=self._settings.max_lateness_s), began_s)
            name = f"{self._thread.name} reader"
            Thread(target=self._converse, args=(session,), name=name, daemon=True).start()
            error = self._outcome(session)
            if self._closed.is_set():
                return
            if session.pictures and self._clock.monotonic() - began_s >= self._settings.stable_after_s:
                self._backoff.succeeded()
            delay_s = self._delay_s(error)
            self._report(self._in_words(error), delay_s)
            self._wait(delay_s)

    def _outcome(self, session: _Session) -> Exception:
        """Wait until the session is over, or its watchdog's time; return why it ended."""
        while not session.over.wait(WATCH_STEP_S):
            if self._closed.is_set():
                break
            with self._changed:
                limit_s = session.last_fresh_s + self._settings.watchdog_s + WATCHDOG_GRACE_S
                if session.open and self._clock.monotonic() > limit_s:
                    session.abandoned = True
                    self._connected = False
                    return silent(self._settings.watchdog_s)
        return session.error or ConnectionLostError("the camera ended the stream")

    def _delay_s(self, error: Exception) -> float:
        if not isinstance(error, AccessRefusedError):
            self._refusals = 0
            return self._backoff.failed()
        self._refusals += 1
        early = self._connections > 0 and self._refusals == 1
        wait_s = self._settings.auth_backoff_s * (EARLY_RETRY_RATIO if early else 1.0)
        return self._random.uniform(0.8, 1.2) * wait_s

    def _in_words(self, error: Exception) -> str:
        if isinstance(error, VedetteError):
            return str(error)
        self._faults.log(error, f"{self._info.source}: reading failed")
        return f"unexpected trouble: {type(error).__name__}"

    def _converse(self, session: _Session) -> None:
        """Connect and pass pictures on until closed; leave in ``session`` what ended it."""
        try:
            self._read_all(session)
        except Exception as error:
            # Every kind is handled by the thread that waits for this one, unexpected ones included.
            session.error = error
        finally:
            session.over.set()

    def _read_all(self, session: _Session) -> None:
        connection = self._connect()
        try:
            session.last_fresh_s = self._clock.monotonic()
            session.open = True
            while not self._closed.is_set() and not session.abandoned:
                received = connection.read()
                self._take(session, connection, received)
        finally:
            with self._changed:
                if not session.abandoned:
                    self._connected = False
            connection.close()

    def _take(self, session: _Session, connection: Connection, received: ReceivedPicture) -> None:
        """Publish a fresh picture, drop an old one."""
        now_s, now = self._clock.monotonic(), self._clock.now()
        if now_s - session.last_fresh_s > self._settings.watchdog_s:
            # What ends a silence was held back during it; the connection is given up all the same.
            raise silent(self._settings.watchdog_s)
        session.pictures += 1
        freshness = session.judge.judge(received.pts_s, now_s=now_s, clocked=received.clocked)
        if not freshness.fresh:
            return
        with self._changed:
            if session.abandoned:
                return
            self._greet(connection, received.picture, first=not session.greeted)
            session.greeted, session.last_fresh_s = True, now_s
            capture_s = self._capture_s(now_s - freshness.lateness_s)
            timestamp = now - timedelta(seconds=max(0.0, now_s - capture_s))
            frame = Frame(number=session.pictures, timestamp=timestamp, time_s=capture_s, picture=received.picture)
            self._newest = frame
            if now_s - self._greeted_at_s >= SETTLE_S:
                self._received_at_s.append(now_s)
            self._damage.append((now_s, received.damaged))
            self._last_frame_at, self._last_frame_at_s = frame.timestamp, now_s
            self._changed.notify_all()

    def _capture_s(self, capture_s: float) -> float:
        """Keep time moving forward where the mapping of the stream's clock was just corrected."""
        if self._last_capture_s is not None:
            capture_s = max(capture_s, self._last_capture_s + SMALLEST_STEP_S)
        self._last_capture_s = capture_s
        return capture_s

    def _greet(self, connection: Connection, picture: Picture, *, first: bool) -> None:
        """Note what the stream is when it begins, and when the size of its pictures changes."""
        known = self._info
        if first:
            self._connections += 1
            self._refusals = 0
            self._connected = True
            self._error = None
            self._received_at_s.clear()
            self._damage.clear()
            self._greeted_at_s = self._clock.monotonic()
            self._info = replace(connection.info(), width=picture.width, height=picture.height)
            logger.info("%s: connected, %s %s", self._info.source, self._info.codec, self._info.resolution)
        elif (known.width, known.height) != (picture.width, picture.height):
            self._info = replace(known, width=picture.width, height=picture.height)
            logger.warning(
                "%s: the resolution changed from %s to %s", known.source, known.resolution, self._info.resolution
            )

    def _report(self, trouble: str, delay_s: float) -> None:
        """Warn once for each kind of trouble; its repetitions are for those who debug."""
        with self._changed:
            repeated = trouble == self._error
            self._error = trouble
        level = logging.DEBUG if repeated else logging.WARNING
        logger.log(level, "%s: %s; next attempt in %.1f s", self._info.source, trouble, delay_s)


def silent(for_s: float) -> ConnectionLostError:
    """Return the error for a camera from which nothing came for ``for_s`` seconds."""
    return ConnectionLostError(f"no data from the camera for {for_s:g} s")
