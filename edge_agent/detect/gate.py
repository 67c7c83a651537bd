"""Decides on which frames the detector runs: during motion, and periodically while tracked objects remain."""

from __future__ import annotations

from pydantic import Field

from edge_agent.types import Frame, Motion
from shared.settings import Settings


class GateSettings(Settings):
    """How often the detector runs."""

    motion_gate: bool = Field(
        default=True,
        description="Run the detector only during motion, and periodically while tracked objects remain. Off, motion "
        "is ignored.",
    )
    detect_every: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Run the detector on every n-th frame at most. Raising it saves CPU time and makes tracking of "
        "fast objects less reliable.",
    )
    linger_s: float = Field(
        default=0.5,
        ge=0,
        le=60,
        description="Seconds for which the detector keeps running after motion ends. Raising it costs CPU time and "
        "covers pauses in a movement.",
    )
    recheck_moving_s: float = Field(
        default=0.5,
        gt=0,
        le=60,
        description="Re-check interval without motion, in seconds, for recently moving objects. Raising it saves CPU "
        "time and notices later that an object has left.",
    )
    recheck_still_s: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="Re-check interval without motion, in seconds, for stationary objects. Raising it saves CPU time "
        "and notices later that an object has left.",
    )


class DetectionGate:
    """Decides frame by frame, by frame time alone, so that a replay makes the same decisions as the live run."""

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings
        self._frames = 0
        self._last_motion_s: float | None = None
        self._last_detection_s: float | None = None

    @property
    def uses_motion(self) -> bool:
        """Whether frames without motion may be skipped."""
        return self._settings.motion_gate

    def should_detect(self, frame: Frame, motion: Motion, *, has_objects: bool, has_moving_objects: bool) -> bool:
        """Return whether the detector should run on this frame; call it once per frame, in order.

        ``has_objects``: objects are being tracked; ``has_moving_objects``: at least one of them is not stationary.
        Unsettled frames are skipped, except while the camera pans and objects are being tracked.
        """
        settings = self._settings
        due = self._frames % settings.detect_every == 0
        self._frames += 1
        if motion.active:
            self._last_motion_s = frame.time_s
        panning = motion.view_change is not None and motion.view_change.shifted
        if motion.unsettled and not panning:
            return False
        has_moving_objects = has_moving_objects or panning
        if not due or not self._is_needed(frame.time_s, has_objects=has_objects, has_moving_objects=has_moving_objects):
            return False
        self._last_detection_s = frame.time_s
        return True

    def _is_needed(self, now_s: float, *, has_objects: bool, has_moving_objects: bool) -> bool:
        settings = self._settings
        if not settings.motion_gate:
            return True
        if self._last_motion_s is not None and now_s - self._last_motion_s <= settings.linger_s:
            return True
        if not has_objects:
            return False
        interval_s = settings.recheck_moving_s if has_moving_objects else settings.recheck_still_s
        return self._last_detection_s is None or now_s - self._last_detection_s >= interval_s
