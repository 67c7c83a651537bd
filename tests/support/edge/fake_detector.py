"""A detector that detects given objects and records the regions that it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.types import Detections, Picture
from shared.events import ModelInfo


def rows(*values: tuple[tuple[float, float, float, float], float, int]) -> Detections:
    """Build detections from (box, score, class) rows."""
    return Detections(
        xyxy=np.array([box for box, _, _ in values], np.float32).reshape(-1, 4),
        score=np.array([score for _, score, _ in values], np.float32),
        class_id=np.array([class_id for _, _, class_id in values], np.int32),
    )


class FakeDetector:
    """Detects an object that is at least ``min_px`` pixels large in the model input; clips its box to the region."""

    labels = ("person", "car")
    model_info = ModelInfo(model_type="fake", version="1")

    def __init__(self, objects: Detections, *, input_size: tuple[int, int] = (100, 100), min_px: float = 10.0) -> None:
        self.input_width, self.input_height = input_size
        self.looked: list[list[int]] = []
        self._objects = objects
        self._min_px = min_px

    def detect(self, picture: Picture) -> Detections:
        return self._see(np.array([0, 0, picture.width, picture.height], np.float32))

    def detect_region(self, picture: Picture, xyxy: NDArray[Any]) -> Detections:
        self.looked.append([int(value) for value in xyxy])
        return self._see(np.asarray(xyxy, np.float32))

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _see(self, part: NDArray[np.float32]) -> Detections:
        scale = min(self.input_width / (part[2] - part[0]), self.input_height / (part[3] - part[1]))
        xyxy = np.clip(self._objects.xyxy, np.tile(part[:2], 2), np.tile(part[2:], 2))
        size = xyxy[:, 2:] - xyxy[:, :2]
        visible = (size.min(axis=1) * scale >= self._min_px) if len(size) else np.zeros(0, np.bool_)
        return Detections(xyxy=xyxy, score=self._objects.score, class_id=self._objects.class_id).select(visible)
