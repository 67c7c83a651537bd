"""Frame-level detectors: a model, moving blobs, or a model with moving blobs for objects that it misses."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import box_containment_batch
from edge_agent.detect.blobs import BlobDetector
from edge_agent.detect.detector import ImageDetector
from edge_agent.detect.slicing import InferenceSlicer
from edge_agent.types import Boxes, Detections, Frame, Motion, ViewChange
from shared import __version__
from shared.events import ModelInfo


class Detector(Protocol):
    """Detects objects in a frame, given the motion in it."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def model_info(self) -> ModelInfo: ...
    def detect(self, frame: Frame, motion: Motion) -> Detections:
        """Return the objects in the frame; ``class_id`` indexes ``labels``."""
        ...

    def move_view(self, change: ViewChange) -> None:
        """Apply a view change to all positions remembered from earlier frames."""
        ...

    def close(self) -> None: ...


class BlobFrameDetector:
    """Detects every moving object as class ``object``."""

    def __init__(self, blobs: BlobDetector) -> None:
        self._blobs = blobs
        self.labels = blobs.labels
        self.model_info = ModelInfo(model_type="blob", version=__version__)

    def detect(self, frame: Frame, motion: Motion) -> Detections:
        return self._blobs.detect(motion, frame_width=frame.width, frame_height=frame.height)

    def move_view(self, change: ViewChange) -> None:
        self._blobs.move_view(change)

    def close(self) -> None:
        """Do nothing: no resources are held."""


class ModelFrameDetector:
    """Runs a model on each frame, with sliced inference if a slicer is given."""

    def __init__(self, detector: ImageDetector, slicer: InferenceSlicer | None) -> None:
        self._detector = detector
        self._slicer = slicer
        self.labels = detector.labels
        self.model_info = detector.model_info

    def detect(self, frame: Frame, motion: Motion) -> Detections:
        if self._slicer is None:
            return self._detector.detect(frame.picture)
        return self._slicer.detect(frame.picture, motion.regions)

    def move_view(self, change: ViewChange) -> None:
        """Do nothing: frames are independent of each other."""

    def close(self) -> None:
        self._detector.close()


class CompositeDetector:
    """Runs a model and adds moving blobs that no model detection covers as class ``object``."""

    def __init__(self, model: Detector, blobs: BlobFrameDetector, *, explained_ratio: float = 0.3) -> None:
        self._model = model
        self._blobs = blobs
        self._explained_ratio = explained_ratio
        self._own_labels = tuple(label for label in blobs.labels if label not in model.labels)
        self.labels = (*model.labels, *self._own_labels)
        self._class_ids = np.array([self.labels.index(label) for label in blobs.labels], np.int32)
        self.model_info = model.model_info

    def detect(self, frame: Frame, motion: Motion) -> Detections:
        known = self._model.detect(frame, motion)
        moving = self._blobs.detect(frame, motion)
        unknown = moving.select(covered_ratio(moving.xyxy, known.xyxy) < self._explained_ratio)
        named = Detections(xyxy=unknown.xyxy, score=unknown.score, class_id=self._class_ids[unknown.class_id])
        return Detections.concatenate([known, named])

    def move_view(self, change: ViewChange) -> None:
        self._model.move_view(change)
        self._blobs.move_view(change)

    def close(self) -> None:
        self._model.close()


def covered_ratio(boxes: Boxes, covers: Boxes) -> NDArray[np.float32]:
    """Return, for each of ``boxes`` (N, 4), the largest fraction of its area that one of ``covers`` (M, 4) covers."""
    if not len(boxes) or not len(covers):
        return np.zeros(len(boxes), np.float32)
    return box_containment_batch(boxes, covers).max(axis=1)
