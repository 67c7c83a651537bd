"""Where detections come from: a model, moving blobs, or a model with blobs for what it does not know."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edge_agent import __version__
from edge_agent.detect.blobs import BlobDetector
from edge_agent.detect.detector import Detector
from edge_agent.detect.slicing import CloserLook
from edge_agent.types import Boxes, Detections, Frame, Motion, ViewChange
from shared.events import ModelInfo


class Finder(Protocol):
    """Finds objects in a frame, with what is known of its motion."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def model_info(self) -> ModelInfo: ...
    def find(self, frame: Frame, motion: Motion) -> Detections:
        """Return what is in the frame; ``class_id`` indexes ``labels``."""
        ...

    def move_view(self, change: ViewChange) -> None:
        """Move what is remembered in pixels to where the places of earlier frames lie now."""
        ...

    def close(self) -> None: ...


class BlobFinder:
    """Moving things, whatever they are: class ``object``."""

    def __init__(self, blobs: BlobDetector) -> None:
        self._blobs = blobs
        self.labels = blobs.labels
        self.model_info = ModelInfo(model_type="blob", version=__version__)

    def find(self, frame: Frame, motion: Motion) -> Detections:
        return self._blobs.detect(motion, frame_width=frame.width, frame_height=frame.height)

    def move_view(self, change: ViewChange) -> None:
        self._blobs.move_view(change)

    def close(self) -> None:
        """Nothing to let go of."""


class ModelFinder:
    """A TFLite model, which looks closer at motion where that is asked for."""

    def __init__(self, detector: Detector, look: CloserLook | None) -> None:
        self._detector = detector
        self._look = look
        self.labels = detector.labels
        info = detector.model_info
        self.model_info = ModelInfo(model_type=info.model_type, version=info.version)

    def find(self, frame: Frame, motion: Motion) -> Detections:
        if self._look is None:
            return self._detector.detect(frame.picture)
        return self._look.detect(frame.picture, motion.regions)

    def move_view(self, change: ViewChange) -> None:
        """Each frame is looked at by itself: nothing is remembered."""

    def close(self) -> None:
        self._detector.close()


class FillingFinder:
    """A model first; moving blobs that no detection explains become ``object``."""

    def __init__(self, model: Finder, blobs: BlobFinder, *, explained_ratio: float = 0.3) -> None:
        self._model = model
        self._blobs = blobs
        self._explained_ratio = explained_ratio
        self._own_labels = tuple(label for label in blobs.labels if label not in model.labels)
        self.labels = (*model.labels, *self._own_labels)
        self._class_ids = np.array([self.labels.index(label) for label in blobs.labels], np.int32)
        self.model_info = model.model_info

    def find(self, frame: Frame, motion: Motion) -> Detections:
        known = self._model.find(frame, motion)
        moving = self._blobs.find(frame, motion)
        unknown = moving.select(covered_ratio(moving.xyxy, known.xyxy) < self._explained_ratio)
        named = Detections(xyxy=unknown.xyxy, score=unknown.score, class_id=self._class_ids[unknown.class_id])
        return Detections.concatenate([known, named])

    def move_view(self, change: ViewChange) -> None:
        self._model.move_view(change)
        self._blobs.move_view(change)

    def close(self) -> None:
        self._model.close()


def covered_ratio(boxes: Boxes, covers: Boxes) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return, for each of ``boxes`` (N, 4), the largest share of its area that one of ``covers`` (M, 4) overlaps."""
    if not len(boxes) or not len(covers):
        return np.zeros(len(boxes), np.float32)
    top_left = np.maximum(boxes[:, None, :2], covers[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], covers[None, :, 2:])
    inside = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    area = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 1e-6, None), axis=1)
    return (inside.max(axis=1) / area).astype(np.float32)
