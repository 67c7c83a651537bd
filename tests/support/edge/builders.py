"""Builders of frames, tracks, detections and motion for tests of the edge agent, with default values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from edge_agent.types import ArrayPicture, Detections, Frame, Motion, Tracks

START = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
FPS = 10.0
WIDTH, HEIGHT = 320, 180
BOX = (100.0, 60.0, 140.0, 120.0)

Box = tuple[float, float, float, float]


def frame(number: int, *, fps: float = FPS, width: int = WIDTH, height: int = HEIGHT, seed: int | None = None) -> Frame:
    """Return frame ``number`` (from 1), plain grey or noise."""
    image = np.full((height, width, 3), 90, np.uint8)
    if seed is not None:
        image = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    time_s = (number - 1) / fps
    return Frame(number=number, timestamp=START + timedelta(seconds=time_s), time_s=time_s, picture=ArrayPicture(image))


def tracks(
    rows: Iterable[tuple[int, Box]] = (), *, score: float = 0.9, class_id: int = 0, ended: Sequence[int] = ()
) -> Tracks:
    """Return a tracker's result for one frame; ``rows`` are (track id, box)."""
    listed = list(rows)
    return Tracks(
        track_id=np.array([row[0] for row in listed], np.int64),
        xyxy=np.array([row[1] for row in listed], np.float32).reshape(-1, 4),
        score=np.full(len(listed), score, np.float32),
        class_id=np.full(len(listed), class_id, np.int32),
        detection_index=np.arange(len(listed), dtype=np.int64),
        ended=tuple(ended),
    )


def detections(boxes: Iterable[Box], *, score: float = 0.9, class_id: int = 0) -> Detections:
    """Return detections of one class and score."""
    listed = list(boxes)
    return Detections(
        xyxy=np.array(listed, np.float32).reshape(-1, 4),
        score=np.full(len(listed), score, np.float32),
        class_id=np.full(len(listed), class_id, np.int32),
    )


def motion(*boxes: Box, intensity: float = 0.4, area_ratio: float = 0.05) -> Motion:
    """Return motion in these boxes; without boxes nothing moves."""
    return Motion(
        active=bool(boxes),
        intensity=intensity if boxes else 0.0,
        area_ratio=area_ratio if boxes else 0.0,
        regions=np.array(boxes, np.float32).reshape(-1, 4),
        mask=np.full((45, 80), 255, np.uint8) if boxes else None,
    )
