"""``motion`` events: one when a motion episode starts, and one with its duration when it ends."""

from __future__ import annotations

from edge_agent.events.occurrences import MotionOccurrence
from edge_agent.events.settings import EventSettings
from edge_agent.types import Frame, Motion


class MotionEpisodes:
    """Joins frames with motion into episodes.

    An episode ends after ``motion_quiet_s`` without motion. An episode that starts less than ``motion_cooldown_s``
    after the start of the last emitted one is not emitted. The event at the end carries the frame with the largest
    moving area.
    """

    def __init__(self, settings: EventSettings) -> None:
        self._quiet_s = settings.motion_quiet_s
        self._cooldown_s = settings.motion_cooldown_s
        self._emitted_at_s: float | None = None
        self._started_at_s: float | None = None
        self._last_active_s = 0.0
        self._is_emitted = False
        """Whether the start of the open episode was emitted."""
        self._peak: tuple[Frame, Motion] | None = None

    def observe(self, frame: Frame, motion: Motion) -> list[MotionOccurrence]:
        """Process the motion in one frame; return the occurrences to emit."""
        occurrences: list[MotionOccurrence] = []
        if self._started_at_s is not None and frame.time_s - self._last_active_s > self._quiet_s:
            occurrences += self.finish()
        if not motion.active:
            return occurrences
        self._last_active_s = frame.time_s
        if self._started_at_s is None:
            self._started_at_s = frame.time_s
            self._peak = (frame, motion)
            self._is_emitted = self._emitted_at_s is None or frame.time_s - self._emitted_at_s >= self._cooldown_s
            if self._is_emitted:
                self._emitted_at_s = frame.time_s
                occurrences.append(MotionOccurrence(frame=frame, motion=motion))
        elif self._peak is None or motion.area_ratio > self._peak[1].area_ratio:
            self._peak = (frame, motion)
        return occurrences

    def finish(self) -> list[MotionOccurrence]:
        """End the open episode, if there is one; return its occurrence."""
        started_at_s, peak = self._started_at_s, self._peak
        self._started_at_s = self._peak = None
        if started_at_s is None or peak is None or not self._is_emitted:
            return []
        duration_s = max(self._last_active_s - started_at_s, 0.0)
        return [MotionOccurrence(frame=peak[0], motion=peak[1], duration_s=duration_s)]
