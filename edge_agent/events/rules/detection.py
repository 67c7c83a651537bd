"""``detection`` events: the objects in the scene, for cameras without tracking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from edge_agent.events.occurrences import DetectionOccurrence, as_box
from edge_agent.events.settings import EventSettings
from edge_agent.images.annotate import BoxLabel
from edge_agent.types import Detections, Frame


class DetectionRule:
    """Emits the objects in the scene when their number by class changes, and again after an interval.

    A change must last for two consecutive frames, so one noisy frame emits nothing.
    """

    def __init__(self, settings: EventSettings) -> None:
        self._interval_s = settings.detection_interval_s
        self._min_confidence = settings.min_median_confidence
        self._emitted: Counter[str] = Counter()
        self._emitted_at_s: float | None = None
        self._previous: Counter[str] = Counter()

    def observe(self, frame: Frame, labels: tuple[BoxLabel, ...]) -> list[DetectionOccurrence]:
        """Process the detections of one frame; return the occurrence to emit, if any."""
        confident = tuple(label for label in labels if label.confidence >= self._min_confidence)
        counts = Counter(label.class_name for label in confident)
        stable, self._previous = counts == self._previous, counts
        if not stable:
            return []
        if not counts:
            self._emitted = counts
            return []
        due = self._emitted_at_s is None or frame.time_s - self._emitted_at_s >= self._interval_s
        if counts == self._emitted and not due:
            return []
        self._emitted, self._emitted_at_s = counts, frame.time_s
        return [DetectionOccurrence(frame=frame, labels=confident)]


def labels_of(detections: Detections, labels: Sequence[str]) -> tuple[BoxLabel, ...]:
    """Return the labels of untracked detections, highest confidence first."""
    order = np.argsort(-detections.score, kind="stable")
    return tuple(
        BoxLabel(
            xyxy=as_box(detections.xyxy[row]),
            class_name=labels[int(detections.class_id[row])],
            confidence=float(detections.score[row]),
            track_id=None,
        )
        for row in order
    )
