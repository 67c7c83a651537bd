"""A fake camera, which delivers one picture at a time, and the functions to run a live source with it."""

from __future__ import annotations

import random
import threading

import numpy as np

from edge_agent.camera.live import Connection, LiveSource, ReceivedPicture
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import StreamInfo
from edge_agent.types import ArrayPicture
from shared.clock import ManualClock

SETTINGS = SourceSettings(backoff_min_s=1, backoff_max_s=8, auth_backoff_s=300, stable_after_s=10, watchdog_s=10)


class FakeCamera:
    """Delivers one picture per ``show``. ``cut`` ends the connection; ``refusals`` are raised on connecting."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.connections = 0
        self.closed = 0
        self.pts_s: float | None = None
        self.size: tuple[int, int] = (6, 4)
        self._due = threading.Semaphore(0)
        self._cuts: list[Exception] = []
        self.shown = 0

    def connect(self) -> Connection:
        if self.refusals:
            raise self.refusals.pop(0)
        self.connections += 1
        return self

    def show(self, count: int = 1) -> None:
        for _ in range(count):
            self._due.release()

    def cut(self, error: Exception) -> None:
        self._cuts.append(error)
        self._due.release()

    def read(self) -> ReceivedPicture:
        self._due.acquire()
        if self._cuts:
            raise self._cuts.pop(0)
        self.shown += 1
        width, height = self.size
        return ReceivedPicture(
            ArrayPicture(np.full((height, width, 3), self.shown, np.uint8)), self.pts_s, self.pts_s is not None
        )

    def info(self) -> StreamInfo:
        return StreamInfo(source="cam", width=6, height=4, fps=25.0, codec="h264")

    def close(self) -> None:
        self.closed += 1


class Waits:
    """Replaces the sleep between attempts: records the seconds and returns at once, or blocks from ``limit`` on."""

    def __init__(self, limit: int = 100) -> None:
        self.seconds: list[float] = []
        self._limit = limit
        self.released = threading.Event()

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) >= self._limit:
            self.released.wait(10)


def started(camera: FakeCamera, *, waits: Waits | None = None, clock: ManualClock | None = None) -> LiveSource:
    return LiveSource(
        connect=camera.connect,
        source="cam",
        settings=SETTINGS,
        clock=clock or ManualClock(),
        rng=random.Random(5),
        wait=waits or Waits(),
    )


def ended(source: LiveSource, camera: FakeCamera) -> None:
    camera.show()
    source.close()
