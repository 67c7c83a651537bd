"""Motion events: one when an episode begins, one with its duration when it has ended."""

from __future__ import annotations

from edge_agent.events.occurrences import MotionOccurrence
from edge_agent.events.settings import EventSettings
from edge_agent.types import Frame, Motion


class MotionEpisodes:
    """Joins frames with motion into episodes.

    An episode ends after ``motion_quiet_s`` without motion. One that begins within ``motion_cooldown_s``
    of the last one told is not told, neither its beginning nor its end. The closing event carries the frame in which
    most moved.
    """

    def __init__(self, settings: EventSettings) -> None:
        self._quiet_s = settings.motion_quiet_s
        self._cooldown_s = settings.motion_cooldown_s
        self._told_at_s: float | None = None
        self._began_at_s: float | None = None
        self._last_active_s = 0.0
        self._telling = False
        self._peak: tuple[Frame, Motion] | None = None

    def observe(self, frame: Frame, motion: Motion) -> list[MotionOccurrence]:
        """Take one frame's motion; return what is to be told now."""
        told: list[MotionOccurrence] = []
        if self._began_at_s is not None and frame.time_s - self._last_active_s > self._quiet_s:
            told += self.finish()
        if not motion.active:
            return told
        self._last_active_s = frame.time_s
        if self._began_at_s is None:
            self._began_at_s = frame.time_s
            self._peak = (frame, motion)
            self._telling = self._told_at_s is None or frame.time_s - self._told_at_s >= self._cooldown_s
            if self._telling:
                self._told_at_s = frame.time_s
                told.append(MotionOccurrence(frame=frame, motion=motion))
        elif self._peak is None or motion.area_ratio > self._peak[1].area_ratio:
            self._peak = (frame, motion)
        return told

    def finish(self) -> list[MotionOccurrence]:
        """End the open episode, if there is one."""
        began_at_s, peak, telling = self._began_at_s, self._peak, self._telling
        self._began_at_s = self._peak = None
        if began_at_s is None or peak is None or not telling:
            return []
        return [MotionOccurrence(frame=peak[0], motion=peak[1], duration_s=max(self._last_active_s - began_at_s, 0.0))]
