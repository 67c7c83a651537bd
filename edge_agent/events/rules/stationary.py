"""Decides whether a tracked object is stationary although its box jitters.

The centre of the box is smoothed, so that jitter and a single outlier are not movement. Two thresholds (hysteresis)
prevent the decision from flickering.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from edge_agent.types import ViewChange
from shared.settings import Settings

_SMOOTHING_S = 0.7
"""Time constant of the smoothing. Raising it ignores longer outliers and detects the start of a movement later."""


class StationarySettings(Settings):
    """When a tracked object counts as stationary."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    after_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 5.0
    """Seconds for which an object must stay within `still_ratio` to count as stationary. Raising it makes the
    decision later and more reliable."""
    still_ratio: Annotated[float, Field(gt=0.0, le=5.0)] = 0.15
    """Maximum distance an object may move in that time, as a fraction of its size. Raising it tolerates more jitter
    of the box."""
    moving_ratio: Annotated[float, Field(gt=0.0, le=10.0)] = 0.4
    """Distance from its resting position, as a fraction of its size, from which an object counts as moving again.
    Raising it ignores larger movements in place."""

    @model_validator(mode="after")
    def _in_order(self) -> StationarySettings:
        if self.moving_ratio < self.still_ratio:
            raise ValueError(f"moving_ratio ({self.moving_ratio}) must not be below still_ratio ({self.still_ratio})")
        return self


@dataclass(slots=True)
class _RestPosition:
    """Position at which an object last came to rest or may have done so, and its smoothed position. Pixels."""

    x: float
    y: float
    since_s: float
    smooth_x: float
    smooth_y: float
    updated_s: float
    is_stationary: bool = False


class Stationarity:
    """Decides for each track of a camera whether its object is stationary."""

    def __init__(self, settings: StationarySettings | None = None) -> None:
        self._settings = settings or StationarySettings()
        self._rests: dict[int, _RestPosition] = {}

    def update(self, track_id: int, xyxy: NDArray[Any], time_s: float) -> bool:
        """Process the next box of a track, ``(4,)`` pixels; return whether the object is stationary."""
        left, top, right, bottom = (float(value) for value in xyxy)
        x, y = (left + right) / 2, (top + bottom) / 2
        size_px = max(math.sqrt(max(right - left, 0.0) * max(bottom - top, 0.0)), 1.0)
        rest = self._rests.get(track_id)
        if rest is None:
            self._rests[track_id] = _RestPosition(x=x, y=y, since_s=time_s, smooth_x=x, smooth_y=y, updated_s=time_s)
            return False
        weight = 1.0 - math.exp(-max(time_s - rest.updated_s, 0.0) / _SMOOTHING_S)
        rest.smooth_x += weight * (x - rest.smooth_x)
        rest.smooth_y += weight * (y - rest.smooth_y)
        rest.updated_s = time_s
        distance = math.hypot(rest.smooth_x - rest.x, rest.smooth_y - rest.y) / size_px
        if distance > (self._settings.moving_ratio if rest.is_stationary else self._settings.still_ratio):
            rest.x, rest.y, rest.since_s, rest.is_stationary = rest.smooth_x, rest.smooth_y, time_s, False
        elif time_s - rest.since_s >= self._settings.after_s:
            rest.is_stationary = True
        return rest.is_stationary

    def move_view(self, change: ViewChange) -> None:
        """Move the remembered positions with the view, so that a pan does not count as a movement of the objects."""
        for rest in self._rests.values():
            rest.x, rest.y = change.point(rest.x, rest.y)
            rest.smooth_x, rest.smooth_y = change.point(rest.smooth_x, rest.smooth_y)

    def forget(self, track_id: int) -> None:
        """Drop the state of a track that has ended."""
        self._rests.pop(track_id, None)
