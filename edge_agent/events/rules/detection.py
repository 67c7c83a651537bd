"""``detection`` events: what there is to see, for cameras that run without tracking."""

from __future__ import annotations

from collections import Counter

from edge_agent.events.occurrences import DetectionOccurrence
from edge_agent.events.settings import EventSettings
from edge_agent.images.annotate import BoxLabel
from edge_agent.types import Frame


class DetectionRule:
    """Tells a scene once it has changed for two frames running (a noisy one raises nothing), or again in a while."""

    def __init__(self, settings: EventSettings) -> None:
        self._interval_s = settings.detection_interval_s
        self._min_confidence = settings.min_median_confidence
        self._told: Counter[str] = Counter()
        self._told_at_s: float | None = None
        self._candidate: Counter[str] = Counter()

    def observe(self, frame: Frame, labels: tuple[BoxLabel, ...]) -> list[DetectionOccurrence]:
        """Take one frame's detections; return the event to tell now, if any."""
        sure = tuple(label for label in labels if label.confidence >= self._min_confidence)
        scene = Counter(label.class_name for label in sure)
        lasting, self._candidate = scene == self._candidate, scene
        if not lasting:
            return []
        if not scene:
            self._told = scene
            return []
        due = self._told_at_s is None or frame.time_s - self._told_at_s >= self._interval_s
        if scene == self._told and not due:
            return []
        self._told, self._told_at_s = scene, frame.time_s
        return [DetectionOccurrence(frame=frame, labels=sure)]
