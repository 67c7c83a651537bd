"""The common part of all cameras: a reader thread, the newest frame, and reconnection when frames stop."""

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
from shared.commands import ConnectionFailure
from shared.errors import TransientError, VedetteError
from shared.retry import Backoff, FaultLog

logger = logging.getLogger(__name__)

DEGRADED_AFTER_S = 2.0
"""Age of the last frame from which a connected camera is degraded, until the watchdog sets it offline."""
FPS_WINDOW_S = 5.0
SETTLE_S = 1.0
"""Seconds after connecting in which frames are not counted for the frame rate: FFmpeg delivers buffered frames then."""
DAMAGE_WINDOW_S = 10.0
JITTER_RATIO = 0.5
"""Prevents cameras behind one switch from being contacted all at once after an outage."""
EARLY_RETRY_RATIO = 0.1
"""Fraction of ``auth_backoff_s`` after the first rejection of credentials that worked before."""
WATCH_STEP_S = 0.25
WATCHDOG_GRACE_S = 0.5
"""Extra time before the watchdog acts: a read that times out by itself reports a more precise error."""
MIN_STEP_S = 0.001
JOIN_S = 0.5
"""Seconds for which ``close`` waits for the thread; a blocked reader ends when its read times out."""


class ConnectionLostError(TransientError):
    """The camera cannot be reached, or its frames have stopped. The text contains no credentials."""

    def __init__(self, text: str, *, cause: ConnectionFailure = "failed") -> None:
        super().__init__(text)
        self.cause: ConnectionFailure = cause


class AccessRefusedError(TransientError):
    """The camera rejected the credentials; an early retry may lock the account."""

    cause: ConnectionFailure = "wrong_credentials"


@dataclass(frozen=True, slots=True)
class ReceivedPicture:
    """A picture received from a camera."""

    picture: Picture
    pts_s: float | None = None
    """Timestamp on the stream's clock, in seconds; None if it has none."""
    clocked: bool = False
    """Whether the stream has timestamps; a single picture may still lack one."""
    damaged: int = 0
    """Pictures that could not be decoded since the previous one."""


class Connection(Protocol):
    """An open connection to a camera, used by a single reader thread."""

    def read(self) -> ReceivedPicture:
        """Block until the next picture; raise ConnectionLostError if none arrives."""
        ...

    def info(self) -> StreamInfo: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Session:
    """One connection and the thread that reads it."""

    judge: FreshnessJudge
    last_fresh_s: float
    """Time of the connection or of its last fresh picture, on the monotonic clock."""
    open: bool = False
    abandoned: bool = False
    """Whether the watchdog has given up on its blocked reader; pictures that still arrive are ignored."""
    has_picture: bool = False
    """Whether a fresh picture has arrived."""
    pictures: int = 0
    error: Exception | None = None
    over: Event = field(default_factory=Event)


class LiveSource:
    """A camera that a thread reads. ``read`` returns the newest unread frame; older ones are dropped.

    The timestamp of a frame is the time at which it was received and decoded, minus its lateness (``FreshnessJudge``).
    The clocks of cameras are not used, because they are often wrong. The timestamp is later than the exposure by the
    encoding time and the usual network delay, commonly 0.1–0.5 s. Frames that are late by more than ``max_lateness_s``
    are dropped and do not set the camera online.
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
        """Start reading. ``source`` is its name in logs, without credentials; ``wait`` sleeps between attempts."""
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
        self._cause: ConnectionFailure | None = None
        self._received_at_s: deque[float] = deque(maxlen=256)
        self._damage: deque[tuple[float, int]] = deque(maxlen=1024)
        self._last_frame_at: datetime | None = None
        self._last_capture_s: float | None = None
        self._last_frame_at_s = self._connected_at_s = clock.monotonic()
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
                cause=None if error is None else self._cause,
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
            started_s = self._clock.monotonic()
            session = _Session(FreshnessJudge(max_lateness_s=self._settings.max_lateness_s), started_s)
            name = f"{self._thread.name} reader"
            Thread(target=self._run_session, args=(session,), name=name, daemon=True).start()
            error = self._outcome(session)
            if self._closed.is_set():
                return
            if session.pictures and self._clock.monotonic() - started_s >= self._settings.stable_after_s:
                self._backoff.succeeded()
            delay_s = self._delay_s(error)
            self._report(self._describe(error), getattr(error, "cause", "failed"), delay_s)
            self._wait(delay_s)

    def _outcome(self, session: _Session) -> Exception:
        """Wait until the session ends or its watchdog expires; return the error that ended it."""
        while not session.over.wait(WATCH_STEP_S):
            if self._closed.is_set():
                break
            with self._changed:
                limit_s = session.last_fresh_s + self._settings.watchdog_s + WATCHDOG_GRACE_S
                if session.open and self._clock.monotonic() > limit_s:
                    session.abandoned = True
                    self._connected = False
                    return no_data_error(self._settings.watchdog_s)
        return session.error or ConnectionLostError("the camera ended the stream")

    def _delay_s(self, error: Exception) -> float:
        if not isinstance(error, AccessRefusedError):
            self._refusals = 0
            return self._backoff.failed()
        self._refusals += 1
        early = self._connections > 0 and self._refusals == 1
        wait_s = self._settings.auth_backoff_s * (EARLY_RETRY_RATIO if early else 1.0)
        return self._random.uniform(0.8, 1.2) * wait_s

    def _describe(self, error: Exception) -> str:
        if isinstance(error, VedetteError):
            return str(error)
        self._faults.log(error, f"{self._info.source}: reading failed")
        return f"unexpected error: {type(error).__name__}"

    def _run_session(self, session: _Session) -> None:
        """Connect and publish pictures until closed; store the error that ended the session in it."""
        try:
            self._read_all(session)
        except Exception as error:
            # The waiting thread handles every kind of error, unexpected ones included.
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
                self._receive(session, connection, received)
        finally:
            with self._changed:
                if not session.abandoned:
                    self._connected = False
            connection.close()

    def _receive(self, session: _Session, connection: Connection, received: ReceivedPicture) -> None:
        """Publish a fresh picture; drop an old one."""
        now_s, now = self._clock.monotonic(), self._clock.now()
        if now_s - session.last_fresh_s > self._settings.watchdog_s:
            # The first picture after such a gap was buffered during it; the connection is closed in any case.
            raise no_data_error(self._settings.watchdog_s)
        session.pictures += 1
        freshness = session.judge.judge(received.pts_s, now_s=now_s, clocked=received.clocked)
        if not freshness.fresh:
            return
        with self._changed:
            if session.abandoned:
                return
            self._note_stream(connection, received.picture, first=not session.has_picture)
            session.has_picture, session.last_fresh_s = True, now_s
            capture_s = self._capture_s(now_s - freshness.lateness_s)
            timestamp = now - timedelta(seconds=max(0.0, now_s - capture_s))
            frame = Frame(number=session.pictures, timestamp=timestamp, time_s=capture_s, picture=received.picture)
            self._newest = frame
            if now_s - self._connected_at_s >= SETTLE_S:
                self._received_at_s.append(now_s)
            self._damage.append((now_s, received.damaged))
            self._last_frame_at, self._last_frame_at_s = frame.timestamp, now_s
            self._changed.notify_all()

    def _capture_s(self, capture_s: float) -> float:
        """Return a capture time after the previous one, even if the mapping of the stream's clock was corrected."""
        if self._last_capture_s is not None:
            capture_s = max(capture_s, self._last_capture_s + MIN_STEP_S)
        self._last_capture_s = capture_s
        return capture_s

    def _note_stream(self, connection: Connection, picture: Picture, *, first: bool) -> None:
        """Update the stream information after connecting and when the frame size changes."""
        known = self._info
        if first:
            self._connections += 1
            self._refusals = 0
            self._connected = True
            self._error = self._cause = None
            self._received_at_s.clear()
            self._damage.clear()
            self._connected_at_s = self._clock.monotonic()
            self._info = replace(connection.info(), width=picture.width, height=picture.height)
            logger.info("%s: connected, %s %s", self._info.source, self._info.codec, self._info.resolution)
        elif (known.width, known.height) != (picture.width, picture.height):
            self._info = replace(known, width=picture.width, height=picture.height)
            logger.warning(
                "%s: the resolution changed from %s to %s", known.source, known.resolution, self._info.resolution
            )

    def _report(self, text: str, cause: ConnectionFailure, delay_s: float) -> None:
        """Log an error as a warning, and its repetitions at debug level."""
        with self._changed:
            repeated = text == self._error
            self._error, self._cause = text, cause
        level = logging.DEBUG if repeated else logging.WARNING
        logger.log(level, "%s: %s; next attempt in %.1f s", self._info.source, text, delay_s)


def no_data_error(quiet_s: float) -> ConnectionLostError:
    """Return the error for a camera from which no data has arrived for ``quiet_s`` seconds."""
    return ConnectionLostError(f"no data from the camera for {quiet_s:g} s", cause="timed_out")
