"""Validation during training: generated scenes of held-out fonts and frames, and held-out real frames.

The test set is not used.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.anpr.detection.plate_decoding import PlateDetections
from training.detector.frames import RealFrames
from training.detector.scenes import LABELLED_WIDTH_PX, SceneMaker

SIZE_PX = (640, 384)
"""Width and height of validation images."""


@dataclass(frozen=True, slots=True)
class Example:
    """An image, its plates (N, 4) xyxy, and the width, in pixels, from which all plates are labelled."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    corners: NDArray[np.float32] | None
    labelled_from_px: float


def generated_examples(maker: SceneMaker, count: int, size: tuple[int, int] = SIZE_PX) -> list[Example]:
    """Return scenes whose plates are all at least 20 px wide."""
    examples = []
    while len(examples) < count:
        scene = maker.draw(*size)
        boxes = np.concatenate([scene.quads.min(1), scene.quads.max(1)], 1).reshape(-1, 4)
        if scene.exact.all() and not scene.faint.any() and not (np.ptp(boxes[:, ::2], 1) < 20).any():
            examples.append(Example(scene.image, boxes, scene.quads, max(20.0, scene.doubtful_px)))
    return examples


def real_examples(frames: RealFrames, size: tuple[int, int] = SIZE_PX) -> list[Example]:
    """Return whole frames, letterboxed."""
    examples = []
    width, height = size
    scale = width / frames.luma.shape[2]
    for luma, boxes in zip(frames.luma, frames.boxes, strict=True):
        small = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = np.full((height, width), 114, np.uint8)
        image[: small.shape[0]] = small
        examples.append(Example(image, boxes * scale, None, LABELLED_WIDTH_PX * scale))
    return examples


def iou_matrix(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the IoU of each box of ``a`` with each of ``b``, ``(len(a), len(b))``."""
    inner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = np.prod(np.maximum(inner, 0), axis=2)
    area_a, area_b = np.prod(a[:, 2:] - a[:, :2], 1), np.prod(b[:, 2:] - b[:, :2], 1)
    return shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-6)


def evaluate(
    examples: list[Example], answers: list[PlateDetections], thresholds: tuple[float, ...] = (0.25, 0.35, 0.45, 0.55)
) -> dict[str, object]:
    """Return the recall and the false positives per image at each threshold, and the mean corner error.

    The corner error is in plate heights.
    """
    plates = sum(len(q.boxes) for q in examples)
    lines, errors = [], []
    for threshold in thresholds:
        hits = false = 0
        for example, answer in zip(examples, answers, strict=True):
            good = answer.select(answer.score >= threshold)
            boxes = good.boxes()
            ious = iou_matrix(boxes, example.boxes)
            hits += int((ious.max(0) >= 0.5).sum()) if len(boxes) and len(example.boxes) else 0
            lone = ious.max(1) < 0.5 if len(example.boxes) else np.ones(len(boxes), bool)
            false += int((lone & (boxes[:, 2] - boxes[:, 0] >= example.labelled_from_px)).sum())
            if example.corners is not None and len(boxes) and len(example.boxes) and threshold == thresholds[0]:
                for row, column in zip(*np.nonzero(ious >= 0.5), strict=True):
                    true = example.corners[column]
                    tall = np.linalg.norm(true[3] - true[0])
                    errors.append(float(np.linalg.norm(good.corners[row] - true, axis=1).mean() / tall))
        lines.append(f"{threshold:.2f}: {hits / max(1, plates):.3f} found, {false / len(examples):.3f} false")
    return {"at": lines, "corner_error": round(float(np.mean(errors)), 3) if errors else None}
