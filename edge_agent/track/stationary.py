"""Judges whether a tracked object stands still, although its box never quite does.

The box's centre is smoothed first, so that a detector's jitter and a single wild box do not count as movement; two
thresholds (hysteresis) keep the judgement from flickering.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edge_agent.track.settings import StationarySettings
from edge_agent.types import ViewChange

_SMOOTHING_S = 0.7
"""Time constant of the smoothing: a third of a wild box's offset is forgotten in so long."""


@dataclass(slots=True)
class _Rest:
    """Where an object was when it last came to rest, or might have."""

    x: float
    y: float
    since_s: float
    smooth_x: float
    smooth_y: float
    seen_s: float
    still: bool = False


class Stationarity:
    """Keeps one judgement a track. ``update`` each time the track is seen, ``forget`` when it has ended."""

    def __init__(self, settings: StationarySettings | None = None) -> None:
        self._settings = settings or StationarySettings()
        self._rests: dict[int, _Rest] = {}

    def update(self, track_id: int, xyxy: NDArray[Any], time_s: float) -> bool:
        """Take one box, ``(4,)`` pixels, and say whether the object stands still."""
        left, top, right, bottom = (float(value) for value in xyxy)
        x, y = (left + right) / 2, (top + bottom) / 2
        size_px = max(math.sqrt(max(right - left, 0.0) * max(bottom - top, 0.0)), 1.0)
        rest = self._rests.get(track_id)
        if rest is None:
            self._rests[track_id] = _Rest(x=x, y=y, since_s=time_s, smooth_x=x, smooth_y=y, seen_s=time_s)
            return False
        weight = 1.0 - math.exp(-max(time_s - rest.seen_s, 0.0) / _SMOOTHING_S)
        rest.smooth_x += weight * (x - rest.smooth_x)
        rest.smooth_y += weight * (y - rest.smooth_y)
        rest.seen_s = time_s
        wandered = math.hypot(rest.smooth_x - rest.x, rest.smooth_y - rest.y) / size_px
        if wandered > (self._settings.moving_ratio if rest.still else self._settings.still_ratio):
            rest.x, rest.y, rest.since_s, rest.still = rest.smooth_x, rest.smooth_y, time_s, False
        elif time_s - rest.since_s >= self._settings.after_s:
            rest.still = True
        return rest.still

    def move_view(self, change: ViewChange) -> None:
        """Move all resting places to where they lie now: a camera that pans does not make what stands still move."""
        for rest in self._rests.values():
            rest.x, rest.y = change.point(rest.x, rest.y)
            rest.smooth_x, rest.smooth_y = change.point(rest.smooth_x, rest.smooth_y)

    def forget(self, track_id: int) -> None:
        """Drop what is known of a track that has ended."""
        self._rests.pop(track_id, None)
