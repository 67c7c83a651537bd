"""Filters detections by class, score and size, vectorised."""

from __future__ import annotations

import logging

import numpy as np

from edge_agent.boxes import box_area_batch, clip_boxes
from edge_agent.detect.models.labels import PLACEHOLDER, Labels
from edge_agent.detect.settings import ClassSettings, DetectSettings, check_class_names
from edge_agent.types import Detections

logger = logging.getLogger(__name__)


class DetectionFilter:
    """Applies ``DetectSettings`` to detections; holds the limits as one array element per class."""

    def __init__(self, settings: DetectSettings, labels: Labels, *, model_name: str) -> None:
        check_class_names(settings, labels)
        self._model_name = model_name
        self._max_detections = settings.max_detections
        enabled = set(settings.classes or labels) - {PLACEHOLDER}
        own = [settings.per_class.get(name, ClassSettings()) for name in labels]
        disabled = np.float32(np.inf)
        self._min_score = np.array(
            [
                _first(entry.min_score, settings.min_score) if name in enabled else disabled
                for name, entry in zip(labels, own, strict=True)
            ],
            np.float32,
        )
        self._min_area = np.array([_first(entry.min_area_ratio, settings.min_area_ratio) for entry in own], np.float32)
        self._max_area = np.array([_first(entry.max_area_ratio, settings.max_area_ratio) for entry in own], np.float32)
        self.min_score = float(self._min_score.min())
        """Lowest minimum score of all classes; decoders may skip everything below it."""
        self._logged_unknown = False

    def apply(self, found: Detections, *, width_px: int, height_px: int) -> Detections:
        """Clip boxes to the image and drop detections that do not meet the settings.

        The first class number without a label is logged, once per filter.
        """
        found = self._known(found)
        xyxy = clip_boxes(found.xyxy, width_px, height_px)
        size = box_area_batch(xyxy)
        ratio = size / np.float32(width_px * height_px)
        ids = found.class_id
        rows = np.flatnonzero(
            (found.score >= self._min_score[ids])
            & (size > 0)
            & (ratio >= self._min_area[ids])
            & (ratio <= self._max_area[ids])
        )
        if len(rows) > self._max_detections:
            best_first = np.argsort(-found.score[rows], kind="stable")
            rows = np.sort(rows[best_first[: self._max_detections]])
        return Detections(xyxy=xyxy[rows], score=found.score[rows], class_id=ids[rows])

    def _known(self, found: Detections) -> Detections:
        known = (found.class_id >= 0) & (found.class_id < len(self._min_score))
        if known.all():
            return found
        if not self._logged_unknown:
            self._logged_unknown = True
            logger.warning(
                "%s reports class %d, but it has labels for classes 0 to %d only; such detections are dropped. Give it "
                "its own labels file",
                self._model_name,
                int(found.class_id[~known][0]),
                len(self._min_score) - 1,
            )
        return found.select(known)


def _first(own: float | None, general: float) -> float:
    return general if own is None else own
